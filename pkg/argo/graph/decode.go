package graph

import (
	"encoding/json"
	"errors"
	"reflect"

	exactly "k8s.io/apimachinery/pkg/util/json"
)

// Decode reads a user's JSON. It refuses JSON whose meaning depends on whether
// field names that differ in case only are the same. For Argo's controllers they
// differ, with one exception: a Workflow in which a parameter's value is a number.
// That they read by encoding/json (workflow/util, FromUnstructuredObj).
func Decode(raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return err
	}
	exact := reflect.New(reflect.TypeOf(into).Elem())
	if err := exactly.Unmarshal(raw, exact.Interface()); err != nil {
		return err
	}
	if !reflect.DeepEqual(into, exact.Interface()) {
		return errSpelling
	}
	return nil
}

var errSpelling = errors.New("the name of a field is not spelled as Argo spells it: upper and lower case count")
