{{/* What all pods share. They pass Pod Security "restricted" and have a read-only root file system. */}}

{{/* (list $ uid): security context of a pod. */}}
{{- define "laneway.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ last . }}
  runAsGroup: {{ last . }}
  fsGroup: {{ last . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* bool: security context of a container; true makes the root file system read-only. */}}
{{- define "laneway.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ . }}
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* dict root, component: where a component's pods run. */}}
{{- define "laneway.scheduling" -}}
{{- $values := index .root.Values .component -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpread }}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $values.topologySpread }}
    labelSelector:
      matchLabels:
        {{- include "laneway.selector" (list $.root $.component) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{/* (list $ "component"): `replicas` of a Deployment that the operator or an autoscaler scales. The chart omits the field. But where Helm
     still owns it, the current number is rendered once more: a field that its only owner drops falls back to 1. */}}
{{- define "laneway.replicasOfOthers" -}}
{{- $live := lookup "apps/v1" "Deployment" (first .).Release.Namespace (include "laneway.name" .) -}}
{{- range dig "metadata" "managedFields" list $live -}}
{{- if and (eq .manager "helm") (hasKey (dig "fieldsV1" "f:spec" dict .) "f:replicas") -}}
replicas: {{ $live.spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* dict root, component: annotations of a component's pods. Checksums restart pods when something changes that they read at start. */}}
{{- define "laneway.podAnnotations" -}}
{{- $keys := list "redis-password" "mongo-password" -}}
{{- if eq .component "api" -}}
{{- $keys = concat $keys (list "jwt-secret" "admin-password") -}}
{{- end -}}
checksum/settings: {{ include "laneway.settings" .root | sha256sum }}
checksum/secrets: {{ include "laneway.secretChecksum" (dict "root" .root "keys" $keys) }}
{{- with (index .root.Values .component).podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* dict root, component: the environment that API, worker and operator share. */}}
{{- define "laneway.env" -}}
{{- $root := .root -}}
envFrom:
  - configMapRef:
      name: {{ include "laneway.name" (list $root "settings") }}
env:
  {{- include "laneway.serverEnv" (dict "root" $root "server" "redis" "variable" "LANEWAY_REDIS_URL") | nindent 2 }}
  {{- include "laneway.serverEnv" (dict "root" $root "server" "mongo" "variable" "LANEWAY_MONGO_URL") | nindent 2 }}
  {{- with $root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with (index $root.Values .component).extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* dict root, server, variable: the URL of a server. The kubelet inserts the password, so no manifest holds it. */}}
{{- define "laneway.serverEnv" -}}
{{- $values := index .root.Values .server -}}
{{- if $values.enabled -}}
- name: {{ upper .server }}_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "laneway.secretName" .root }}
      key: {{ .server }}-password
{{- $host := printf "%s:%d" (include "laneway.name" (list .root .server)) (int $values.port) }}
- name: {{ .variable }}
  {{- if eq .server "redis" }}
  value: redis://:$(REDIS_PASSWORD)@{{ $host }}/0
  {{- else }}
  {{- /* journal: an ended job leaves Redis once MongoDB acknowledges it, so the acknowledgement must mean "on disk" */}}
  value: mongodb://laneway:$(MONGO_PASSWORD)@{{ $host }}/{{ .root.Values.settings.mongoDatabase }}?journal=true
  {{- end }}
{{- else -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      {{- if $values.existingSecret }}
      name: {{ $values.existingSecret }}
      key: {{ $values.existingSecretKey }}
      {{- else }}
      name: {{ include "laneway.name" (list .root "servers") }}
      key: {{ .server }}-url
      {{- end }}
{{- end -}}
{{- end -}}
