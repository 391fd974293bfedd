package evio

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// foreign are turns of phrase that send a reader back to the start of the sentence, each with
// what to write instead. A pattern stands here only if nothing good matches it.
var foreign = []struct{ pattern, instead string }{
	{`\blikewise\b`, "in the same way, or say it again"},
	{`\bof which\b`, "two sentences"},
	{`\bsuch that\b`, "so that, or those that"},
	{`\bsuch as of\b`, "such as that of"},
	{`(^|[.;:] +|\| *)Who (has|leaves|gives|begins|hands|sees|repeats|learns) [^?]*$`, "whoever, or a member that"},
	{`\bwho is in the\b`, "members of the"},
	{`\b(out|are|is|of) whom\b`, "those that"},
	{`\bholds up no end\b`, "blocks nothing"},
	{`\b(find|finds) back\b`, "returns"},
	{`\b(is|are|was|were|be|does|do|may|can|will|has|have)\b[^.;:|,]* no more( *[.,;:|)]|$)`, "no longer"},
	{`\bbut for\b`, "except"},
	{`\bof no use\b`, "does not work, is not usable"},
	{`(?i)\bwhat is more\b`, "the rest, anything beyond that"},
	{`[,;] else\b`, "otherwise"},
	{`(?i)\beach \d+(\.\d+)?[  ]?(ms|s|min|h) *([.,;:|)]|$)`, "every"},
	{`[,;] also (when|while|if|where|over|without)\b`, "even, or too"},
	{"\\b(stand|stands) in `", "is in"},
	{`\bwithout a word\b`, "silently, without a message"},
	{`(?i)\bthe way of an?\b`, "the path of a"},
	{`\bleft-overs?\b`, "leftover"},
	{`\b(is|are|was|were) told\b( +a?[^ap]|[^ ]|$)`, "is reported, is notified, is sent"},
	{`\b(this|that) is told\b`, "is reported"},
	{`\bwho has (it|got)\b`, "whoever has"},
}

// foreignPatterns are the patterns of foreign, in order.
var foreignPatterns = func() []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, f := range foreign {
		all = append(all, regexp.MustCompile(f.pattern))
	}
	return all
}()

// foreignIn returns the phrases of foreign that a text in one line contains, each with what to
// write instead.
func foreignIn(text string) []string {
	var out []string
	for i, p := range foreignPatterns {
		if m := p.FindString(text); m != "" {
			out = append(out, fmt.Sprintf("%q: write %s", strings.TrimSpace(m), foreign[i].instead))
		}
	}
	return out
}

// inCode is what a page says in code, which is not English.
var inCode = regexp.MustCompile("`[^`]*`")

// TestPlainEnglish looks for phrases that are not English in the pages that people read.
func TestPlainEnglish(t *testing.T) {
	for _, page := range documents(t) {
		for _, s := range prose(read(t, page)) {
			for _, phrase := range foreignIn(s) {
				t.Errorf("%s: in %q: %s", page, s, phrase)
			}
		}
	}
}

// prose returns the paragraphs, list items and table rows of a page, each in one line, without
// headings and examples.
func prose(page string) []string {
	var out []string
	var block []string
	end := func() {
		if len(block) > 0 {
			out = append(out, inCode.ReplaceAllString(strings.Join(block, " "), "`…`"))
		}
		block = nil
	}
	fenced := false
	for line := range strings.Lines(page) {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "```"):
			end()
			fenced = !fenced
		case fenced, text == "", strings.HasPrefix(line, "#"), strings.HasPrefix(line, "    "):
			end()
		case strings.HasPrefix(text, "|"), strings.HasPrefix(text, "- "), len(text) > 1 && text[0] >= '1' && text[0] <= '9' && text[1] == '.':
			end()
			block = []string{text}
		default:
			block = append(block, text)
		}
	}
	end()
	return out
}

// TestProse shows what counts as English.
func TestProse(t *testing.T) {
	page := "# Likewise\n\nOne\ntwo `likewise`.\n\n    likewise\n\n- three\n  four\n- five\n1. six\n\n```\nlikewise\n```\n| a | b |\n"
	want := []string{"One two `…`.", "- three four", "- five", "1. six", "| a | b |"}
	if got := prose(page); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("prose: %q, want %q", got, want)
	}
}
