package graph

import (
	"encoding/json"
	"errors"
	"reflect"

	exactly "k8s.io/apimachinery/pkg/util/json"
)

// Decode reads JSON of a user's, and refuses it where what it says depends on
// whether names of fields that differ in case only are the same. To Argo's
// controllers they are not, but for a Workflow in which the value of a parameter is
// a number: that they read by encoding/json (workflow/util, FromUnstructuredObj).
func Decode(raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return err
	}
	exact := reflect.New(reflect.TypeOf(into).Elem())
	if err := exactly.Unmarshal(raw, exact.Interface()); err != nil {
		return err
	}
	if !reflect.DeepEqual(into, exact.Interface()) {
		return errors.New("the name of a field is not spelled as Argo spells it: upper and lower case count")
	}
	return nil
}
