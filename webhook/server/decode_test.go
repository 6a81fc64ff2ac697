package server

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func TestPodsAreReadAsEncodingJSONReadsThem(t *testing.T) {
	for _, name := range argotest.Supported() {
		pod := argotest.Pod(t, name)
		grace := int64(30)
		pod.DeletionGracePeriodSeconds = &grace
		raw := encoded(t, pod)
		// What an API server of a later release says stays unread.
		raw = bytes.Replace(raw, []byte(`"spec":{`), []byte(`"spec":{"ofTheFuture":{"a":[1,null,"\u0000"]},`), 1)
		var want corev1.Pod
		check(t, json.Unmarshal(raw, &want))
		got, err := decode(runtime.RawExtension{Raw: raw}, pod.Namespace)
		check(t, err)
		if !reflect.DeepEqual(got, &want) {
			t.Errorf("%s is read as another pod", name)
		}
	}
}

// No API server writes these. Other readers of the same text would see another pod.
func TestAPodThatSaysAThingTwiceIsRefused(t *testing.T) {
	raw := encoded(t, argotest.Pod(t, "produce"))
	twice := bytes.Replace(raw, []byte(`"spec":{`), []byte(`"spec":{"hostPID":true,"hostPID":false,`), 1)
	h := newScene(t, 1).mux
	for path, body := range map[string][]byte{PathMutate: creation(t, twice), PathValidate: creation(t, twice)} {
		r := post(t, h, path, body)
		if r.Allowed || !bytes.Contains([]byte(r.Result.Message), []byte(reason.RequestBad)) {
			t.Errorf("%s says %+v", path, r.Result)
		}
	}
	if r := post(t, h, PathMutate, creation(t, raw)); !r.Allowed {
		t.Errorf("the honest one: %+v", r.Result)
	}
	other := bytes.Replace(raw, []byte(`"spec":{`), []byte(`"spec":{"HOSTPID":true,`), 1)
	// One that is stored already is read, or nobody could delete it.
	if _, err := decode(runtime.RawExtension{Raw: twice}, argotest.Pod(t, "produce").Namespace, lenient); err != nil {
		t.Error(err)
	}
	pod, err := decode(runtime.RawExtension{Raw: other}, argotest.Pod(t, "produce").Namespace)
	check(t, err)
	if pod.Spec.HostPID {
		t.Error("a name in other letters is taken for another")
	}
}
