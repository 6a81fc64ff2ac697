// Package version says which fields each version of what we write has. A field
// that came with a later version than the first has that version in its tag,
// `since:"2"`; all others were there from the beginning.
//
// It looks at types and values of ours and trusts nothing in them.
package version

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Check refuses a value in which a field is set that came after the version.
func Check(v any, version int) error {
	return check(reflect.ValueOf(v), version)
}

func check(v reflect.Value, version int) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return check(v.Elem(), version)
		}
	case reflect.Slice, reflect.Array:
		if !holdsFields(v.Type()) {
			return nil
		}
		for i := range v.Len() {
			if err := check(v.Index(i), version); err != nil {
				return err
			}
		}
	case reflect.Map:
		if !holdsFields(v.Type()) {
			return nil
		}
		for _, key := range v.MapKeys() {
			if err := check(v.MapIndex(key), version); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if since(field) > version && !v.Field(i).IsZero() {
				return fmt.Errorf("version %d has no field %q", version, name(field))
			}
			if err := check(v.Field(i), version); err != nil {
				return err
			}
		}
	}
	return nil
}

// Fields lists the fields of a value's type that the version has, each by its
// path, sorted: what a test holds against a list that was written down when the
// version was released.
func Fields(v any, version int) []string {
	var paths []string
	list(reflect.TypeOf(v), version, "", &paths)
	slices.Sort(paths)
	return paths
}

func list(t reflect.Type, version int, path string, paths *[]string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		list(t.Elem(), version, path, paths)
	case reflect.Struct:
		for i := range t.NumField() {
			field := t.Field(i)
			if since(field) > version {
				continue
			}
			inner := path
			if !field.Anonymous {
				inner = strings.TrimPrefix(path+"."+name(field), ".")
				*paths = append(*paths, inner)
			}
			list(field.Type, version, inner, paths)
		}
	}
}

// holdsFields says whether there are structs in a list or map.
func holdsFields(t reflect.Type) bool {
	for {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			t = t.Elem()
		default:
			return t.Kind() == reflect.Struct
		}
	}
}

// since is the first version that has the field. A tag that is no number is a
// mistake in our own code.
func since(field reflect.StructField) int {
	text, ok := field.Tag.Lookup("since")
	if !ok {
		return 1
	}
	first, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("field %s has the tag since:%q", field.Name, text))
	}
	return first
}

func name(field reflect.StructField) string {
	n, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if n == "" {
		return field.Name
	}
	return n
}
