{{/* Egress rules that several network policies share. */}}

{{- define "queue.egressDns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* To Redis and MongoDB: the chart's own pods, or any address at the port of an existing server. */}}
{{- define "queue.egressServers" -}}
{{- range $server := list "redis" "mongo" }}
{{- $values := index $.Values $server }}
- ports:
    - port: {{ $values.port }}
  {{- if $values.enabled }}
  to:
    - podSelector:
        matchLabels:
          {{- include "queue.selector" (list $ $server) | nindent 10 }}
  {{- end }}
{{- end }}
{{- end -}}
