{{- /* A pod that runs a command on the ledger and ends. Takes root, args, and deliver. */}}
{{- define "tallygraph.jobPod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "tallygraph.selector" (dict "root" $root "component" "job") | nindent 4 }}
spec:
  {{- include "tallygraph.podBasics" $root | nindent 2 }}
  restartPolicy: Never
  containers:
    - name: tallygraph
      image: {{ include "tallygraph.image" $root.Values.gateway.image }}
      imagePullPolicy: {{ $root.Values.gateway.image.pullPolicy }}
      command: [tallygraph]
      args: {{ toJson .args }}
      env:
        {{- include "tallygraph.databaseEnv" $root | nindent 8 }}
      resources: {{ toJson $root.Values.jobs.resources }}
      securityContext:
        {{- include "tallygraph.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- if .token }}
        - name: token
          mountPath: /etc/tallygraph-token
          readOnly: true
        {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- if .token }}
    - name: token
      secret:
        secretName: {{ .token }}
    {{- end }}
{{- end }}
