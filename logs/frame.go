package logs

import "bytes"

// maxLine is the longest line that arrives whole, in bytes without its newline.
const maxLine = 1 << 20

// frame appends every whole line of data to out, prefix before and newline
// behind it, and returns out and the rest of data, an unfinished line of at
// most maxLine bytes. A longer line is cut into lines of maxLine bytes each.
// The first seen bytes of data are known to hold no newline: without that
// knowledge a program that writes a long line byte by byte would cost the
// square of its length.
func frame(out, prefix, data []byte, seen int) (framed, rest []byte) {
	for {
		end := bytes.IndexByte(data[seen:], '\n')
		if end >= 0 {
			end += seen
		}
		seen = 0
		next := end + 1
		switch {
		case end < 0 && len(data) <= maxLine:
			return out, data
		case end < 0 || end > maxLine:
			end, next = maxLine, maxLine
		}
		out = append(out, prefix...)
		out = append(out, data[:end]...)
		out = append(out, '\n')
		data = data[next:]
	}
}
