{{/* Egress rules that several network policies share. */}}

{{/* To any DNS server. */}}

{{- define "laneway.egressDns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* A server's ports as a JSON list: those in its URL, or `port` where the URL is unknown or names none. */}}
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

{{/* To Redis and MongoDB: to the bundled servers' pods, or to any address at the ports of an existing server. */}}
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
