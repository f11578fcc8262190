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

{{/* To public addresses, and to the networks in settings.webhooksAllowPrivate. Empty without webhooks. The worker itself is stricter. */}}
{{- define "laneway.egressWebhooks" -}}
{{- if .Values.webhooks.enabled }}
- ports:
    - {port: 1, endPort: 65535, protocol: TCP}
  to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: 2000::/3
    - ipBlock:
        cidr: 64:ff9b::/96
    {{- range splitList "," .Values.settings.webhooksAllowPrivate }}
    {{- with trim . }}
    - ipBlock:
        cidr: {{ contains "/" . | ternary . (printf "%s/%s" . (contains ":" . | ternary "128" "32")) }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end -}}
