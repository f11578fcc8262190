{{/* What all pods have in common: they pass Pod Security "restricted", with a read-only root file system. */}}

{{/* (list $ uid): security context of a pod */}}
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

{{/* bool: whether the root file system is read-only */}}
{{- define "laneway.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ . }}
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* dict root, component: scheduling of a component's pods. */}}
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

{{/* (list $ "component"): `replicas` of a Deployment that somebody else scales: nothing. But where Helm has set it, it is said once
more as it is: a field that its only owner leaves out would be 1 again. */}}
{{- define "laneway.replicasOfOthers" -}}
{{- $live := lookup "apps/v1" "Deployment" (first .).Release.Namespace (include "laneway.name" .) -}}
{{- range dig "metadata" "managedFields" list $live -}}
{{- if and (eq .manager "helm") (hasKey (dig "fieldsV1" "f:spec" dict .) "f:replicas") -}}
replicas: {{ $live.spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* dict root, component: a rollout follows whatever the pods read when they start, and nothing else. */}}
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

{{/* dict root, server, variable: where a server is. Its password is never in a manifest: the kubelet puts it into the URL. */}}
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
  {{- /* journal: history leaves Redis once MongoDB has it, so MongoDB must have it on disk */}}
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
