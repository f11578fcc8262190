{{/* Volumes of the in-chart servers. */}}

{{- define "queue.claimRetention" -}}
{{- if .enabled -}}
persistentVolumeClaimRetentionPolicy:
  whenDeleted: {{ .whenDeleted }}
  whenScaled: Retain
{{- end -}}
{{- end -}}

{{/* dict root, component */}}
{{- define "queue.claims" -}}
{{- with (index .root.Values .component).persistence }}
{{- if .enabled -}}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
      labels:
        {{- include "queue.selector" (list $.root $.component) | nindent 8 }}
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
