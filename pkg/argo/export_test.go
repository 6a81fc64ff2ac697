package argo

// TemplateOf and DecodeTemplate are templateOf and decodeTemplate, for tests from outside.
func TemplateOf(namespace, text string) (any, error) { return templateOf(namespace, text) }

func DecodeTemplate(text string) (any, error) { return decodeTemplate([]byte(text)) }

// BoundPatch is boundPatch.
func BoundPatch(patch string) error { return boundPatch(patch) }

// FillParsing takes all room for patches, until free is called.
func FillParsing() (free func()) {
	for range maxParsing {
		parsing <- struct{}{}
	}
	return func() {
		for range maxParsing {
			<-parsing
		}
	}
}
