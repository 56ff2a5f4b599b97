package supervisorctl

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// encodeResult writes a methodResponse with a value: a string, int, bool, []any
// or map[string]any.
func encodeResult(v any) []byte {
	var b bytes.Buffer
	b.WriteString("<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n")
	encodeValue(&b, v)
	b.WriteString("</param>\n</params>\n</methodResponse>\n")
	return b.Bytes()
}

// encodeFault writes a methodResponse with a fault.
func encodeFault(f *fault) []byte {
	var b bytes.Buffer
	b.WriteString("<?xml version='1.0'?>\n<methodResponse>\n<fault>\n")
	encodeValue(&b, f.structure())
	b.WriteString("</fault>\n</methodResponse>\n")
	return b.Bytes()
}

// structure is how a fault travels.
func (f *fault) structure() map[string]any {
	return map[string]any{"faultCode": int(f.code), "faultString": f.Error()}
}

// encoded is a value that has been through encodeValue already.
type encoded []byte

func encodeValue(b *bytes.Buffer, v any) {
	if done, ok := v.(encoded); ok {
		b.Write(done)
		return
	}
	b.WriteString("<value>")
	switch v := v.(type) {
	case string:
		b.WriteString("<string>")
		// What XML cannot hold, such as the escapes of colours, becomes U+FFFD.
		_ = xml.EscapeText(b, []byte(v)) // a buffer takes everything
		b.WriteString("</string>")
	case int:
		// XML-RPC's integers have 32 bits: times end in 2038, as Supervisor's do.
		b.WriteString("<int>" + strconv.Itoa(min(max(v, math.MinInt32), math.MaxInt32)) + "</int>")
	case bool:
		b.WriteString("<boolean>" + map[bool]string{false: "0", true: "1"}[v] + "</boolean>")
	case []any:
		b.WriteString("<array><data>\n")
		for _, element := range v {
			encodeValue(b, element)
		}
		b.WriteString("</data></array>")
	case map[string]any:
		b.WriteString("<struct>\n")
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b.WriteString("<member>\n<name>" + name + "</name>\n")
			encodeValue(b, v[name])
			b.WriteString("</member>\n")
		}
		b.WriteString("</struct>")
	default:
		panic(fmt.Sprintf("supervisorctl: %T cannot be encoded", v))
	}
	b.WriteString("</value>\n")
}
