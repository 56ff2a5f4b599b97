package control

import (
	"bytes"
	"strconv"
	"strings"
)

// The text format of Prometheus, version 0.0.4: a comment with the meaning, one
// with the type, then a line for each series.
const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// kind is the type of a metric family.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// exposition writes metric families.
type exposition struct {
	bytes.Buffer
	family string // that of the next samples
}

// begin starts a family.
func (e *exposition) begin(name string, k kind, help string) {
	e.family = name
	e.WriteString("# HELP " + name + " " + helpEscaper.Replace(help) + "\n")
	e.WriteString("# TYPE " + name + " " + string(k) + "\n")
}

// add writes one sample of the family. labels are names and values by turns.
func (e *exposition) add(value float64, labels ...string) { e.addSuffixed("", value, labels...) }

// addSuffixed writes one sample of a part of a histogram: _bucket, _sum, _count.
func (e *exposition) addSuffixed(suffix string, value float64, labels ...string) {
	e.WriteString(e.family + suffix)
	for i := 0; i+1 < len(labels); i += 2 {
		before := ","
		if i == 0 {
			before = "{"
		}
		e.WriteString(before + labels[i] + `="` + labelEscaper.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		e.WriteByte('}')
	}
	e.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)
