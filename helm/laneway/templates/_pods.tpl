{{/* What all pods share. They pass Pod Security "restricted" and have a read-only root file system. */}}

{{/* (list $ podSecurityContext): security context of a pod, without the fields that are null. fixedUserIds=false drops all ids. */}}
{{- define "laneway.podSecurity" -}}
{{- $ids := list "runAsUser" "runAsGroup" "fsGroup" "supplementalGroups" -}}
{{- $fields := dict -}}
{{- range $name, $value := last . -}}
{{- if not (or (kindIs "invalid" $value) (and (has $name $ids) (not (first $).Values.fixedUserIds))) -}}
{{- $_ := set $fields $name $value -}}
{{- end -}}
{{- end -}}
securityContext:
  {{- toYaml $fields | nindent 2 }}
{{- end -}}

{{/* bool: security context of a container; true makes the root file system read-only. */}}
{{- define "laneway.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ . }}
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* dict root, component: where a component's pods run, and how they resolve names. */}}
{{- define "laneway.scheduling" -}}
{{- $values := index .root.Values .component -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .root.Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- range $field, $value := dict "nodeSelector" $values.nodeSelector "tolerations" $values.tolerations "affinity" $values.affinity
      "hostAliases" .root.Values.hostAliases "dnsConfig" .root.Values.dnsConfig }}
{{- with $value }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* dict root, component: how a component's pods spread over nodes and zones. */}}
{{- define "laneway.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ (index $.root.Values $.component).topologySpread }}
    labelSelector:
      matchLabels:
        {{- include "laneway.selector" (list $.root $.component) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}

{{/* dict root, component, foreign: `replicas` of a Deployment. Where the operator or an autoscaler owns the number (foreign), the chart omits
     the field. But where Helm still owns it, the current number is rendered once more: a field that its only owner drops falls back to 1. */}}
{{- define "laneway.replicas" -}}
{{- $replicas := (index .root.Values .component).replicas -}}
{{- if not (or .foreign (kindIs "invalid" $replicas)) -}}
replicas: {{ $replicas }}
{{- else -}}
{{- $live := lookup "apps/v1" "Deployment" .root.Release.Namespace (include "laneway.name" (list .root .component)) -}}
{{- range dig "metadata" "managedFields" list $live -}}
{{- if and (eq .manager "helm") (hasKey (dig "fieldsV1" "f:spec" dict .) "f:replicas") -}}
replicas: {{ $live.spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
