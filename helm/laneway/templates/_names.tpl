{{/* Names, labels and images. A helper about one component takes (list $ "component"). */}}

{{/* Prefix of all names: the release's name, with the chart's unless it contains it. Release `laneway` makes `laneway-api`, release
     `prod` makes `prod-laneway-api`. */}}

{{- define "laneway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Name of a component's objects. At most 40 + 22 characters, since a Service may have 63. */}}
{{- define "laneway.name" -}}
{{- printf "%s-%s" (include "laneway.fullname" (first .)) (last .) -}}
{{- end -}}

{{/* Labels that selectors use. They are immutable: never change them between versions of the chart. */}}
{{- define "laneway.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* Labels of pods. They hold no version, or every upgrade of the chart would restart every pod. */}}
{{- define "laneway.podLabels" -}}
{{ include "laneway.selector" . }}
app.kubernetes.io/part-of: laneway
{{- with (first .).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of all objects. */}}
{{- define "laneway.labels" -}}
{{- $root := first . -}}
{{ include "laneway.podLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Name, namespace and labels of a component's object. */}}
{{- define "laneway.metadata" -}}
name: {{ include "laneway.name" . }}
namespace: {{ (first .).Release.Namespace }}
labels:
  {{- include "laneway.labels" . | nindent 2 }}
{{- end -}}

{{/* (list $ image): an image's full name, from its repository, tag and digest. */}}
{{- define "laneway.image" -}}
{{- $root := first . -}}
{{- $image := last . -}}
{{- with $root.Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end }}
{{- end -}}

{{/* Name of the worker Deployment, which the WorkerPool and the operator's Role refer to. */}}
{{- define "laneway.workerName" -}}
{{ include "laneway.name" (list . "worker") }}
{{- end -}}

{{/* Names of the Deployments that the operator may scale, as a JSON list. */}}
{{- define "laneway.targets" -}}
{{ concat (list (include "laneway.workerName" .)) .Values.operator.extraTargets | toJson }}
{{- end -}}
