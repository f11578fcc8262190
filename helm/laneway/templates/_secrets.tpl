{{/* Settings and secrets as data. The objects that hold them and the checksums in the pods' annotations come from the same helpers. */}}

{{/* The LANEWAY_* variables. Numbers go through toJson: Helm reads them as floats, and `quote` would write 1048576 as 1.048576e+06. */}}
{{- define "laneway.settings" -}}
{{- range $key, $value := .Values.settings }}
LANEWAY_{{ snakecase $key | upper }}: {{ if kindIs "string" $value }}{{ $value | quote }}{{ else }}{{ toJson $value | quote }}{{ end }}
{{- end }}
{{- end -}}

{{/* Name of the Secret with passwords and keys. */}}
{{- define "laneway.secretName" -}}
{{- .Values.secrets.existingSecret | default (include "laneway.name" (list . "secrets")) -}}
{{- end -}}

{{/* Not empty if a volume outlives the release. Then the passwords that open it must outlive the release too. */}}
{{- define "laneway.keepsData" -}}
{{- range list .Values.redis .Values.mongo -}}
{{- if and .enabled .persistence.enabled (eq .persistence.whenDeleted "Retain") }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* Generated passwords in base64. Passwords of an existing Secret are kept; only missing keys are generated. This happens once a rendering
     and is remembered in .Values, or the checksums would cover other passwords than the Secret holds. */}}
{{- define "laneway.secretData" -}}
{{- if not .Values.secrets.existingSecret -}}
{{- if not (hasKey .Values "generatedSecret") -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace (include "laneway.secretName" .) | default dict -}}
{{- $data := dict -}}
{{- range $key, $value := $secret.data -}}
{{- $_ := set $data $key $value -}}
{{- end -}}
{{- $wanted := dict "jwt-secret" true "redis-password" .Values.redis.enabled "mongo-password" .Values.mongo.enabled
      "mongo-root-password" .Values.mongo.enabled "admin-password" (ne .Values.auth.adminUsername "")
      "webhooks-key" .Values.webhooks.enabled -}}
{{- range $key, $on := $wanted -}}
{{- if and $on (not (hasKey $data $key)) -}}
{{- $_ := set $data $key (randAlphaNum 48 | b64enc) -}}
{{- end -}}
{{- end -}}
{{- $_ := set .Values "generatedSecret" $data -}}
{{- end -}}
{{- toYaml .Values.generatedSecret -}}
{{- end -}}
{{- end -}}

{{/* URLs of existing servers from the values, in base64. */}}
{{- define "laneway.serverUrls" -}}
{{- range $server := list "redis" "mongo" -}}
{{- $values := index $.Values $server -}}
{{- if and (not $values.enabled) $values.url (not $values.existingSecret) }}
{{ $server }}-url: {{ $values.url | b64enc }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* dict root, keys: a checksum of the generated passwords that a pod reads, and of the URLs. */}}
{{- define "laneway.secretChecksum" -}}
{{- $data := include "laneway.secretData" .root | fromYaml -}}
{{- $read := list (include "laneway.serverUrls" .root) -}}
{{- range .keys -}}
{{- $read = append $read (get $data . | default "") -}}
{{- end -}}
{{- join " " $read | sha256sum -}}
{{- end -}}
