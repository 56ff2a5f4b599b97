package config

import "strings"

// didYouMean is `, did you mean "x"?` for the candidate nearest to word, or
// "" if none is near.
func didYouMean(word string, candidates []string) string {
	if near := nearest(word, candidates); near != "" {
		return ", did you mean " + quote(near) + "?"
	}
	return ""
}

// nearest returns the candidate with the fewest typing errors, the first of
// several; about one error for each four letters still counts as near.
func nearest(word string, candidates []string) string {
	// Beyond these nobody is helped, and the work grows with the product.
	const longest, most = 64, 200
	if len(word) > longest {
		return ""
	}
	word = spelling(word)
	best, fewest := "", len(word)/4+2
	for _, c := range candidates[:min(most, len(candidates))] {
		if len(c) > longest {
			continue
		}
		if errors := distance(word, spelling(c)); errors < fewest {
			best, fewest = c, errors
		}
	}
	return best
}

// spelling removes differences that are not errors of typing: workingDir and
// working-dir both mean working_dir.
func spelling(s string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(s))
}

// distance is the number of bytes to insert, delete, replace or swap with
// their neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+differ(a[i], b[j]))
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

func differ(a, b byte) int {
	if a == b {
		return 0
	}
	return 1
}
