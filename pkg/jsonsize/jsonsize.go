package jsonsize

import "bytes"

// Count is how many objects a text has in it, and how many members its objects and lists
// have beside the first of each. A null counts as an object: in a list of structs it takes
// as much as one. Lists are counted by Of alone.
type Count struct{ Objects, Members, Lists int64 }

// Add counts a part of a text from above, quickly: inside of strings what looks like a value
// counts too, unless its next byte is a backslash, as in JSON in a string; outside of strings
// no JSON has such. Between two parts no backslash is seen, and so one more counted.
func (c *Count) Add(part []byte) {
	c.Objects += int64(bytes.Count(part, []byte("{")) - bytes.Count(part, []byte(`{\`)) + bytes.Count(part, []byte("null")))
	c.Members += int64(bytes.Count(part, []byte(",")) - bytes.Count(part, []byte(`,\`)))
}

// Plus is both together.
func (c Count) Plus(other Count) Count {
	return Count{c.Objects + other.Objects, c.Members + other.Members, c.Lists + other.Lists}
}

// TooMany says whether a text may have more objects than that in it.
func TooMany(text []byte, most int64) bool {
	if int64(bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("null"))) <= most {
		return false
	}
	var c Count
	c.Add(text)
	return c.Objects > most
}

// Of counts a whole text, and nothing that is inside of strings: scripts and templates are
// full of braces and commas. It is exact for valid JSON; no decoder makes anything of
// another.
func Of(text []byte) Count {
	var c Count
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = endOfString(text, i+1)
		case '{', 'n': // null
			c.Objects++
		case ',':
			c.Members++
		case '[':
			c.Lists++
		}
	}
	return c
}

// endOfString is where a string ends that began before i.
func endOfString(text []byte, i int) int {
	for i < len(text) {
		next := bytes.IndexByte(text[i:], '"')
		if next < 0 {
			return len(text)
		}
		end := i + next
		// An odd number of backslashes before it makes it a part of the string.
		slashes := 0
		for end-slashes > i && text[end-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
		i = end + 1
	}
	return i
}
