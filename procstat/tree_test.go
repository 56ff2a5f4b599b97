package procstat

import (
	"slices"
	"testing"
)

func TestDescendants(t *testing.T) {
	for _, tc := range []struct {
		name     string
		children map[int32][]int32
		want     []int32
	}{
		{"alone", map[int32][]int32{1: {5}}, []int32{7}},
		{"generations", map[int32][]int32{1: {7}, 7: {8, 9}, 9: {10}, 10: {11}}, []int32{7, 8, 9, 10, 11}},
		{"a circle", map[int32][]int32{7: {8}, 8: {7}}, []int32{7, 8}},
		{"its own parent", map[int32][]int32{7: {7}}, []int32{7}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := descendants(7, tc.children); !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
