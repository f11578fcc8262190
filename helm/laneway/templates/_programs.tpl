{{/* What the pods of API, worker and operator share. All helpers take (dict "root" $ "component" "api"). */}}

{{/* Annotations. Checksums restart pods when something changes that they read at start. */}}
{{- define "laneway.podAnnotations" -}}
{{- $keys := list "redis-password" "mongo-password" -}}
{{- if eq .component "api" -}}
{{- $keys = concat $keys (list "jwt-secret" "admin-password") -}}
{{- end -}}
{{- if ne .component "operator" -}}
{{- $keys = append $keys "webhooks-key" -}}
{{- end -}}
checksum/settings: {{ include "laneway.settings" .root | sha256sum }}
checksum/secrets: {{ include "laneway.secretChecksum" (dict "root" .root "keys" $keys) }}
{{- with (index .root.Values .component).podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Environment. In envFrom later entries win; env wins over envFrom. */}}
{{- define "laneway.env" -}}
{{- $values := index .root.Values .component -}}
envFrom:
  - configMapRef:
      name: {{ include "laneway.name" (list .root "settings") }}
  {{- with concat .root.Values.extraEnvFrom $values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  {{- range $server := list "redis" "mongo" }}
  {{- include "laneway.serverEnv" (dict "root" $.root "server" $server) | nindent 2 }}
  {{- end }}
  {{- if include "laneway.ca" .root }}
  # OpenSSL reads this file beside the image's own /etc/ssl/certs, so public authorities stay trusted.
  - name: SSL_CERT_FILE
    value: /etc/laneway/ca.crt
  {{- end }}
  {{- with concat .root.Values.extraEnv $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Only $: the key of which the secrets of webhooks are made, for API and worker. Empty if there are none. */}}
{{- define "laneway.webhooksEnv" -}}
{{- if .Values.webhooks.enabled -}}
- name: LANEWAY_WEBHOOKS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "laneway.secretName" . }}
      key: webhooks-key
{{- end -}}
{{- end -}}

{{/* dict root, server: the URL of a server, and its password if the URL does not contain it. No manifest holds either. */}}
{{- define "laneway.serverEnv" -}}
{{- $values := index .root.Values .server -}}
{{- $name := printf "LANEWAY_%s" (upper .server) -}}
{{- $host := printf "%s:%d" (include "laneway.name" (list .root .server)) (int $values.port) -}}
- name: {{ $name }}_URL
  {{- if and $values.enabled (eq .server "redis") }}
  value: redis://{{ $host }}/0
  {{- else if $values.enabled }}
  {{- /* journal: an ended job leaves Redis once MongoDB acknowledges it, so the acknowledgement must mean "on disk" */}}
  value: mongodb://laneway@{{ $host }}/{{ .root.Values.settings.mongoDatabase }}?journal=true
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ $values.existingSecret | default (include "laneway.name" (list .root "servers")) }}
      key: {{ empty $values.existingSecret | not | ternary $values.existingSecretKey (printf "%s-url" .server) }}
  {{- end }}
{{- with $values.enabled | ternary (include "laneway.secretName" .root) $values.passwordSecret }}
- name: {{ $name }}_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $values.enabled | ternary (printf "%s-password" $.server) $values.passwordSecretKey }}
{{- end }}
{{- end -}}

{{/* Mounts of the component's container. */}}
{{- define "laneway.volumeMounts" -}}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if include "laneway.ca" .root }}
  - name: ca
    mountPath: /etc/laneway
    readOnly: true
  {{- end }}
  {{- with (index .root.Values .component).extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* With tmpSizeLimit: the pod's volumes. */}}
{{- define "laneway.volumes" -}}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ .tmpSizeLimit }}
  {{- with include "laneway.ca" .root }}
  - name: ca
    {{- . | nindent 4 }}
  {{- end }}
  {{- with (index .root.Values .component).extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Only $: the volume source with the private certificate authority, as the file ca.crt. Empty if there is none. */}}
{{- define "laneway.ca" -}}
{{- $items := list (dict "key" .Values.extraCa.key "path" "ca.crt") -}}
{{- if .Values.extraCa.configMap -}}
{{- dict "configMap" (dict "name" .Values.extraCa.configMap "items" $items) | toYaml -}}
{{- else if .Values.extraCa.secret -}}
{{- dict "secret" (dict "secretName" .Values.extraCa.secret "items" $items) | toYaml -}}
{{- end -}}
{{- end -}}
