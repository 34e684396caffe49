{{- define "modelmux.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 57 characters, so that the names of further objects fit into 63. */}}
{{- define "modelmux.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 57 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 57 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "modelmux.selectorLabels" -}}
app.kubernetes.io/name: {{ include "modelmux.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "modelmux.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "modelmux.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "modelmux.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "modelmux.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "modelmux.image" -}}
{{- $repository := required "image.repository is not set: build packaging/docker/Dockerfile, push it to your registry, and name it" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Whether more than one pod can run: "true" or nothing. */}}
{{- define "modelmux.severalPods" -}}
{{- if or (and .Values.autoscaling.enabled (gt (int .Values.autoscaling.maxReplicas) 1)) (and (not .Values.autoscaling.enabled) (gt (int .Values.replicaCount) 1)) -}}
true
{{- end -}}
{{- end -}}

{{/* A secret by name -> setting and variable. The order is that of the variables. */}}
{{- define "modelmux.secretVariables" -}}
apiKeys: {key: api-keys, variable: MODELMUX_SERVER_API_KEYS}
adminToken: {key: admin-token, variable: MODELMUX_ADMIN_TOKEN}
peppers: {key: peppers, variable: MODELMUX_ACCOUNTS_PEPPERS}
sealKeys: {key: seal-keys, variable: MODELMUX_SERVER_SEAL_KEYS}
databaseUrl: {key: database-url, variable: MODELMUX_ACCOUNTS_STORE}
listenUrl: {key: listen-url, variable: MODELMUX_ACCOUNTS_LISTEN_URL}
redisUrl: {key: redis-url, variable: MODELMUX_LIMITS_REDIS}
webhookUrl: {key: webhook-url, variable: MODELMUX_ACCOUNTS_WEBHOOK}
webhookSecret: {key: webhook-secret, variable: MODELMUX_ACCOUNTS_WEBHOOK_SECRET}
{{- end -}}

{{/* The secrets that are used, by name -> key in the Secret and variable, as YAML. */}}
{{- define "modelmux.usedSecrets" -}}
{{- $used := dict -}}
{{- range $name, $secret := include "modelmux.secretVariables" . | fromYaml -}}
{{- if $.Values.secrets.existingSecret -}}
{{- with index $.Values.secrets.existingSecretKeys $name -}}
{{- $_ := set $used $name (dict "key" . "variable" $secret.variable) -}}
{{- end -}}
{{- else if index $.Values.secrets $name -}}
{{- $_ := set $used $name $secret -}}
{{- end -}}
{{- end -}}
{{- toYaml $used -}}
{{- end -}}

{{- define "modelmux.secretName" -}}
{{- default (include "modelmux.fullname" .) .Values.secrets.existingSecret -}}
{{- end -}}

{{/* The checksum of what the chart puts into Secrets and the ConfigMap: pods are replaced when it changes. */}}
{{- define "modelmux.checksum" -}}
{{- printf "%s%s" (include "modelmux.toml" .) (toJson .Values.secrets) | sha256sum -}}
{{- end -}}
