{{/* What the gateway would refuse at its start, or would lose, is refused here, with what to do. */}}
{{- define "modelmux.checks" -}}
{{- include "modelmux.checks.config" . -}}
{{- include "modelmux.checks.secrets" . -}}
{{- $used := include "modelmux.usedSecrets" . | fromYaml -}}
{{- $several := include "modelmux.severalPods" . -}}
{{- $server := default dict .Values.config.server -}}
{{- if include "modelmux.hasAccounts" . -}}
{{- if include "modelmux.hasDatabase" . -}}
{{- if not (or $used.peppers (default dict .Values.config.accounts).peppers) -}}
{{- fail "accounts in PostgreSQL need the same peppers on every pod: set secrets.peppers (openssl rand -hex 32)" -}}
{{- end -}}
{{- else if $several -}}
{{- fail "accounts of several pods need a PostgreSQL database: set secrets.databaseUrl, or replicaCount=1 and autoscaling.enabled=false" -}}
{{- else if not .Values.persistence.enabled -}}
{{- fail "accounts in a file would be lost with the pod: set persistence.enabled=true, or secrets.databaseUrl for PostgreSQL" -}}
{{- end -}}
{{- if and (include "modelmux.hasAdmin" .) (not (or $used.adminToken (default dict .Values.config.admin).tokens (default dict .Values.config.admin).token)) -}}
{{- fail "the admin API needs a token: set secrets.adminToken (openssl rand -hex 24), or admin.enabled=false" -}}
{{- end -}}
{{- else if not (or $used.apiKeys $server.api_keys $server.allow_unauthenticated .Values.extraEnvFrom) -}}
{{- fail "clients need keys: set secrets.apiKeys (openssl rand -hex 24), or config.accounts.enabled=true for virtual keys" -}}
{{- end -}}
{{- if and $several (not (or $used.sealKeys $server.seal_keys)) -}}
{{- fail "several pods need the same seal keys, or conversations that change the pod lose their thinking: set secrets.sealKeys (openssl rand -hex 64)" -}}
{{- end -}}
{{- if and $several .Values.persistence.enabled -}}
{{- fail "persistence is for one pod: set persistence.enabled=false, or replicaCount=1 and autoscaling.enabled=false" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.serviceMonitor.tokenSecret.name) -}}
{{- fail "/metrics needs a token: set serviceMonitor.tokenSecret.name to a Secret with one of the role viewer ([[admin.tokens]]); without accounts, with one of server.api_keys" -}}
{{- end -}}
{{- end -}}

{{- define "modelmux.checks.config" -}}
{{- $vertex := default dict .Values.config.vertex -}}
{{- if not (or $vertex.project $vertex.url $vertex.models .Values.extraEnv .Values.extraEnvFrom) -}}
{{- fail "config.vertex.project is not set: name your Google Cloud project" -}}
{{- end -}}
{{- range $table, $names := dict "server" (list "host" "state_dir") "admin" (list "listen") -}}
{{- range $names -}}
{{- if hasKey (default dict (index $.Values.config $table)) . -}}
{{- fail (printf "config.%s.%s is set by the chart: leave it out; admin.enabled and admin.port decide where the admin API is" $table .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $metrics := default dict .Values.config.metrics -}}
{{- if and (eq (default "both" $metrics.listener) "admin") (not (include "modelmux.hasAdmin" .)) -}}
{{- fail "config.metrics.listener is \"admin\", and there is no admin API: set config.accounts.enabled and admin.enabled, or leave it out" -}}
{{- end -}}
{{- end -}}

{{/* Secrets are not put into a ConfigMap, which more people can read. */}}
{{- define "modelmux.checks.secrets" -}}
{{- $config := .Values.config -}}
{{- if eq .Values.configStorageType "ConfigMap" -}}
{{- range $table, $names := dict "server" (list "api_keys" "seal_keys") "auth" (list "access_token" "service_account_json") "accounts" (list "listen_url" "peppers" "webhook" "webhook_secret") "admin" (list "token" "tokens") -}}
{{- range $names -}}
{{- if index (default dict (index $config $table)) . -}}
{{- fail (printf "config.%s.%s is a secret and would be in a ConfigMap: use the values below `secrets`, or set configStorageType=Secret" $table .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $table, $names := dict "accounts" (list "store") "limits" (list "redis") "responses" (list "store") "thinking" (list "store") -}}
{{- range $names -}}
{{- if regexMatch "://[^/]*:[^/]*@|[?&]password=" (default dict (index $config $table) | dig . "" | toString) -}}
{{- fail (printf "config.%s.%s has a password and would be in a ConfigMap: use secrets.databaseUrl, secrets.redisUrl or extraEnv, or set configStorageType=Secret" $table .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.secrets.existingSecret (not (include "modelmux.usedSecrets" . | fromYaml)) -}}
{{- fail "secrets.existingSecret is set, and none of its keys is used: name them in secrets.existingSecretKeys" -}}
{{- end -}}
{{- range $name, $_ := include "modelmux.secretVariables" . | fromYaml -}}
{{- if and $.Values.secrets.existingSecret (index $.Values.secrets $name) -}}
{{- fail (printf "secrets.%s would be ignored, because secrets.existingSecret is set: put it there, and name its key in secrets.existingSecretKeys.%s" $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := pick .Values.secrets "apiKeys" "peppers" "sealKeys" -}}
{{- range $value -}}
{{- if contains "," . -}}
{{- fail (printf "secrets.%s: an entry has a comma, which separates entries: write them as a list" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.secrets.sealKeys -}}
{{- if not (regexMatch "^([0-9a-fA-F]{64}|[0-9a-fA-F]{128})$" .) -}}
{{- fail "secrets.sealKeys: an entry has not 64 or 128 hexadecimal digits: openssl rand -hex 64" -}}
{{- end -}}
{{- end -}}
{{- range $name, $form := dict "databaseUrl" "^postgres(ql)?://" "listenUrl" "^postgres(ql)?://" "redisUrl" "^rediss?://" -}}
{{- with index $.Values.secrets $name -}}
{{- if not (regexMatch $form .) -}}
{{- fail (printf "secrets.%s does not begin with %s" $name (ternary "redis:// or rediss://" "postgresql://" (eq $name "redisUrl"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
