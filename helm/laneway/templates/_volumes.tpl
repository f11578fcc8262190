{{/* Volumes of the bundled servers. */}}

{{/* A server's persistence values: what happens to its claim. */}}

{{- define "laneway.claimRetention" -}}
{{- if .enabled -}}
persistentVolumeClaimRetentionPolicy:
  whenDeleted: {{ .whenDeleted }}
  whenScaled: Retain
{{- end -}}
{{- end -}}

{{/* Names of the bundled servers' claims, as a regular expression. Empty if there are none. */}}
{{- define "laneway.claimNames" -}}
{{- $names := list -}}
{{- range $server := list "redis" "mongo" -}}
{{- $values := index $.Values $server -}}
{{- if and $values.enabled $values.persistence.enabled -}}
{{- $names = append $names (printf "data-%s-0" (include "laneway.name" (list $ $server))) -}}
{{- end -}}
{{- end -}}
{{- join "|" $names -}}
{{- end -}}

{{/* dict root, component: the claim of a bundled server. */}}
{{- define "laneway.claims" -}}
{{- with (index .root.Values .component).persistence }}
{{- if .enabled -}}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
      labels:
        {{- include "laneway.selector" (list $.root $.component) | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .size }}
{{- end }}
{{- end }}
{{- end -}}
