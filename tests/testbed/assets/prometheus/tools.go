//go:build tools

// Package assets pins the Prometheus and the promtool that the testbed starts.
package assets

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
