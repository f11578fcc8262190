{{/* (list $ "alert"): link to the alert's heading in docs/operations.md; empty without runbookUrl. */}}
{{- define "laneway.runbook" -}}
{{- with (first .).Values.monitoring.prometheusRule.runbookUrl -}}
runbook_url: {{ printf "%s#%s" . (last $ | lower) }}
{{- end -}}
{{- end -}}
