//go:build tools

// Package assets pins the Kubernetes API server and etcd that the testbed starts.
package assets

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
