package signal

// maxSkipped bounds what is read of one stanza that is too large, in bytes.
const maxSkipped = 16 << 20

// errAbsurd ends the connection.
const errAbsurd = violation("a stanza over 16 MiB")

// stanzaScanner follows where a stanza ends, byte by byte, in memory that does not grow. It
// takes XML as servers write it and is exact for all that is well-formed; what XMPP
// forbids breaks it.
type stanzaScanner struct {
	state  scanState
	depth  int  // elements that are open
	marked int  // bytes of a mark that have come
	ended  bool // the stanza is complete
	broken bool
}

type scanState uint8

const (
	inText scanState = iota
	afterLess
	inStartTag
	inSingle // quotes
	inDouble
	afterSlash // of an empty element
	inEndTag
	inMark // of a CDATA section
	inCDATA
)

const cdataMark, cdataEnd = "[CDATA[", "]]>"

// add takes the next byte.
func (o *stanzaScanner) add(b byte) {
	switch o.state {
	case inText:
		if b == '<' {
			o.state = afterLess
		}
	case afterLess:
		o.begin(b)
	case inStartTag, inEndTag:
		o.tag(b)
	case inSingle, inDouble:
		switch {
		case b == '\'' && o.state == inSingle, b == '"' && o.state == inDouble:
			o.state = inStartTag
		case b == '<':
			o.broken = true
		}
	case afterSlash:
		o.broken = o.broken || b != '>'
		o.close(0)
	case inMark:
		o.broken = o.broken || b != cdataMark[o.marked]
		if o.marked++; o.marked == len(cdataMark) {
			o.state, o.marked = inCDATA, 0
		}
	case inCDATA:
		o.cdata(b)
	}
}

func (o *stanzaScanner) begin(b byte) {
	switch b {
	case '/':
		o.state = inEndTag
	case '!':
		o.state, o.marked = inMark, 0
	case '?', '<', '>':
		o.broken = true
	default:
		o.state = inStartTag
	}
}

func (o *stanzaScanner) tag(b byte) {
	switch {
	case b == '<':
		o.broken = true
	case b == '>' && o.state == inEndTag:
		o.close(1)
	case o.state == inEndTag:
	case b == '>':
		o.state = inText
		o.depth++
	case b == '/':
		o.state = afterSlash
	case b == '\'':
		o.state = inSingle
	case b == '"':
		o.state = inDouble
	}
}

// cdata looks for the end of the section; of ]]]> the last two brackets count.
func (o *stanzaScanner) cdata(b byte) {
	if b == cdataEnd[o.marked] {
		o.marked++
	} else if b != ']' {
		o.marked = 0
	}
	if o.marked == len(cdataEnd) {
		o.state = inText
	}
}

// close takes the end of an element that counted so much in depth.
func (o *stanzaScanner) close(counted int) {
	o.state = inText
	o.depth -= counted
	o.ended = o.depth <= 0
}

// skip reads to the end of the stanza under way, whatever is in it.
func (in *input) skip() error {
	for n := 0; !in.scanner.ended; n++ {
		if n == maxSkipped {
			return errAbsurd
		}
		b, err := in.buffered.ReadByte()
		if err != nil {
			return err
		}
		if in.scanner.add(b); in.scanner.broken {
			return errRestrictedXML
		}
	}
	return nil
}
