{{/* Egress rules that several network policies share. */}}

{{- define "laneway.egressDns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* A server's ports as JSON: those in its URL, or `port` where that is not known or says none. */}}
{{- define "laneway.ports" -}}
{{- $ports := list -}}
{{- if .url -}}
{{- $hosts := regexReplaceAll "^[a-z+]+://" .url "" -}}
{{- $hosts = regexReplaceAll "^.*@" (regexReplaceAll "[/?#].*$" $hosts "") "" -}}
{{- range splitList "," $hosts -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" .) | default ($.port | toString) | int) -}}
{{- end -}}
{{- end -}}
{{- $ports | default (list (int .port)) | uniq | toJson -}}
{{- end -}}

{{/* To Redis and MongoDB: the chart's own pods, or any address at the ports of an existing server. */}}
{{- define "laneway.egressServers" -}}
{{- range $server := list "redis" "mongo" }}
{{- $values := index $.Values $server }}
- ports:
    {{- range include "laneway.ports" $values | fromJsonArray }}
    - port: {{ . }}
    {{- end }}
  {{- if $values.enabled }}
  to:
    - podSelector:
        matchLabels:
          {{- include "laneway.selector" (list $ $server) | nindent 10 }}
  {{- end }}
{{- end }}
{{- end -}}
