{{/* Names, labels and images. Helpers that belong to one component take (list $ "component"). */}}

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

{{/* Name of a component's objects: at most 40 + 22 characters, so that a Service's 63 are never exceeded. */}}
{{- define "laneway.name" -}}
{{- printf "%s-%s" (include "laneway.fullname" (first .)) (last .) -}}
{{- end -}}

{{/* What a Deployment selects by: may never change between versions of the chart. */}}
{{- define "laneway.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* Labels of pods: no version in them, or every upgrade of the chart would restart every pod. */}}
{{- define "laneway.podLabels" -}}
{{ include "laneway.selector" . }}
app.kubernetes.io/part-of: laneway
{{- with (first .).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "laneway.labels" -}}
{{- $root := first . -}}
{{ include "laneway.podLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "laneway.metadata" -}}
name: {{ include "laneway.name" . }}
namespace: {{ (first .).Release.Namespace }}
labels:
  {{- include "laneway.labels" . | nindent 2 }}
{{- end -}}

{{- define "laneway.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{/* The worker Deployment: named by the WorkerPool and by the operator's rights. */}}
{{- define "laneway.workerName" -}}
{{ include "laneway.name" (list . "worker") }}
{{- end -}}
