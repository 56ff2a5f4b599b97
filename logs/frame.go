package logs

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	"sidekick/config"
)

// maxLine is the longest line that arrives whole, in bytes without its newline.
const maxLine = 1 << 20

// cut divides what was read of a stream into whole lines and an unfinished one.
// Of an unfinished line of more than maxLine bytes the first maxLine are a
// piece. The first seen bytes are known to hold no newline: without that
// knowledge a program that writes a long line byte by byte would cost the
// square of its length.
func cut(data []byte, seen int) (lines, rest []byte, piece bool) {
	if end := bytes.LastIndexByte(data[seen:], '\n'); end >= 0 {
		end += seen + 1
		return data[:end], data[end:], false
	}
	if len(data) > maxLine {
		return data[:maxLine], data[maxLine:], true
	}
	return nil, data, false
}

// frame is what a line of one stream of a program is put into.
type frame struct {
	format config.LogFormat
	prefix []byte // text: before each line; json: from behind the time to the line itself
}

// newFrame makes the frame for a stream. The prefix of text is given.
func newFrame(format config.LogFormat, program string, stream Stream, prefix []byte) frame {
	switch format {
	case config.LogText:
		return frame{format: format, prefix: prefix}
	case config.LogJSON:
		b := append([]byte(`","program":`), strconv.Quote(program)...) // a name has nothing to escape
		b = append(b, `,"stream":"`...)
		b = append(b, stream...)
		return frame{format: format, prefix: append(b, `","line":"`...)}
	}
	return frame{format: format}
}

// framedSize is about how much is framed at a time, in bytes: what is written
// at once stays small, however much longer than its line a frame is.
const framedSize = 64 << 10

// append frames the first lines of block, or a piece of a line, and returns
// what is left of the block.
func (f *frame) append(out []byte, at time.Time, block []byte, piece bool) (framed, rest []byte) {
	var stamp []byte
	if f.format == config.LogJSON {
		stamp = at.UTC().AppendFormat(make([]byte, 0, 40), time.RFC3339Nano)
	}
	for len(block) > 0 && len(out) < framedSize {
		line := block
		if end := bytes.IndexByte(block, '\n'); end >= 0 {
			line, block = block[:end], block[end+1:]
		} else {
			block = nil
		}
		if f.format == config.LogJSON {
			out = f.appendJSON(out, stamp, line, piece)
			continue
		}
		out = append(out, f.prefix...)
		out = append(out, line...)
		out = append(out, '\n')
	}
	return out, block
}

func (f *frame) appendJSON(out, stamp, line []byte, piece bool) []byte {
	out = append(out, `{"time":"`...)
	out = append(out, stamp...)
	out = append(out, f.prefix...)
	out = appendEscaped(out, line)
	if piece {
		return append(out, "\",\"partial\":true}\n"...)
	}
	return append(out, "\"}\n"...)
}

// appendEscaped appends text as a JSON string without its quotes (RFC 8259,
// section 7). A byte that is no part of valid UTF-8 has no place in a JSON text
// (section 8.1) and becomes U+FFFD.
func appendEscaped(out, text []byte) []byte {
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRune(text[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		out = append(out, text[start:i]...)
		out = appendEscape(out, c)
		i += size
		start = i
	}
	return append(out, text[start:]...)
}

func appendEscape(out []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(out, '\\', c)
	case '\t':
		return append(out, `\t`...)
	case '\r':
		return append(out, `\r`...)
	case '\n':
		return append(out, `\n`...)
	}
	if c >= utf8.RuneSelf {
		return append(out, `\ufffd`...)
	}
	return append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
