package config

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (2020-12) of the file, for editors. It is looser
// than Load: a ${VAR} may stand for any value, and it does not compare keys. It
// refuses nothing that Load takes. A test keeps its keys, defaults and words those
// of the tables.
func Schema() []byte { return slices.Clone(schema) }
