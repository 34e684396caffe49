{{/* config.toml: the values in `config`, and what the chart decides. */}}
{{- define "modelmux.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- $server := dict "host" "0.0.0.0" "state_dir" "/var/lib/modelmux" -}}
{{- $_ := set $config "server" (mergeOverwrite (dict "port" 3000) (default dict $config.server) $server) -}}
{{- if and $config.accounts $config.accounts.enabled -}}
{{- $listen := ternary (printf "0.0.0.0:%d" (int .Values.admin.port)) "off" .Values.admin.enabled -}}
{{- $_ := set $config "admin" (mergeOverwrite (default dict $config.admin) (dict "listen" $listen)) -}}
{{- end -}}
{{- $lines := list -}}
{{- range $key, $value := $config -}}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) -}}
{{- $lines = append $lines (include "modelmux.toml.pair" (list $key $value)) -}}
{{- end -}}
{{- end -}}
{{- range $table, $values := $config -}}
{{- if kindIs "map" $values -}}
{{- $lines = append $lines (printf "\n[%s]" (include "modelmux.toml.key" $table)) -}}
{{- range $key, $value := $values -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $lines = append $lines (include "modelmux.toml.pair" (list $key $value)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $lines | trim -}}
{{- end -}}

{{- define "modelmux.toml.key" -}}
{{- ternary . (toRawJson .) (regexMatch "^[A-Za-z0-9_-]+$" .) -}}
{{- end -}}

{{- define "modelmux.toml.pair" -}}
{{- include "modelmux.toml.key" (index . 0) }} = {{ include "modelmux.toml.value" (index . 1) -}}
{{- end -}}

{{/* A value in TOML, on one line. Numbers of a values file are floats: 3000.0 would not be a port. A string in JSON is one
     in TOML. */}}
{{- define "modelmux.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ include "modelmux.toml.pair" (list $key (index $ $key)) }}{{ end -}} }
{{- else if kindIs "slice" . -}}
[{{ range $index, $item := . }}{{ if $index }}, {{ end }}{{ include "modelmux.toml.value" $item }}{{ end }}]
{{- else if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "string" . -}}
{{- toRawJson . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* A duration as the gateway reads it -> whole seconds, rounded up. In: the name of the setting, the value. */}}
{{- define "modelmux.seconds" -}}
{{- $text := index . 1 | toString | trim | lower -}}
{{- if not (regexMatch "^([0-9]+(\\.[0-9]+)?|\\.[0-9]+)\\s*(ms|s|sec|m|min|h|d)?$" $text) -}}
{{- fail (printf "%s: %q is not a duration; write 30, \"500ms\", \"15s\" or \"5m\"" (index . 0) $text) -}}
{{- end -}}
{{- $unit := regexFind "[a-z]+$" $text | default "s" -}}
{{- $scale := get (dict "ms" 0.001 "s" 1.0 "sec" 1.0 "m" 60.0 "min" 60.0 "h" 3600.0 "d" 86400.0) $unit -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) $scale | ceil | int -}}
{{- end -}}

{{/* Seconds from the deletion of a pod until its gateway has ended at the latest, without a reserve. */}}
{{- define "modelmux.drainSeconds" -}}
{{- $server := default dict .Values.config.server -}}
{{- $delay := include "modelmux.seconds" (list "config.server.drain_delay" (default 0 $server.drain_delay)) | int -}}
{{- $timeout := include "modelmux.seconds" (list "config.server.drain_timeout" (ternary $server.drain_timeout 30 (hasKey $server "drain_timeout"))) | int -}}
{{- add (int .Values.preStopSleepSeconds) $delay $timeout -}}
{{- end -}}

{{- define "modelmux.terminationGracePeriodSeconds" -}}
{{- $drain := include "modelmux.drainSeconds" . | int -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add $drain 15 -}}
{{- else if lt (int .Values.terminationGracePeriodSeconds) (int (add $drain 5)) -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is less than the drain needs, %d: lower preStopSleepSeconds, config.server.drain_delay or config.server.drain_timeout, or leave it out" (int .Values.terminationGracePeriodSeconds) (int (add $drain 5))) -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{- define "modelmux.port" -}}
{{- default dict .Values.config.server | dig "port" 3000 | int -}}
{{- end -}}

{{- define "modelmux.hasAccounts" -}}
{{- if (default dict .Values.config.accounts).enabled }}true{{ end -}}
{{- end -}}

{{- define "modelmux.hasAdmin" -}}
{{- if and (include "modelmux.hasAccounts" .) .Values.admin.enabled }}true{{ end -}}
{{- end -}}

{{/* PostgreSQL, and not a file. */}}
{{- define "modelmux.hasDatabase" -}}
{{- $store := default dict .Values.config.accounts | dig "store" "" -}}
{{- if and (include "modelmux.hasAccounts" .) (or (include "modelmux.usedSecrets" . | fromYaml).databaseUrl (hasPrefix "postgres" $store)) }}true{{ end -}}
{{- end -}}

{{- define "modelmux.hasRedis" -}}
{{- $thinking := default dict .Values.config.thinking | dig "store" "" -}}
{{- if or (include "modelmux.usedSecrets" . | fromYaml).redisUrl (default dict .Values.config.limits).redis (regexMatch "^(redis|valkey)s?://" $thinking) }}true{{ end -}}
{{- end -}}
