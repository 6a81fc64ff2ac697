package budget

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// every is how often the board is looked at. For so long, steps may go on beginning
// after the budget is used up; an eighth more is set aside for them.
const every = 5 * time.Second

// maxText bounds the text of the board: what a ConfigMap holds, with room.
const maxText = 900 << 10

// Board tells which namespaces have used up their budget, or nearly. It tells so in
// a ConfigMap, which the chart makes and the admission policy argoseal-budget
// reads, and by events in the namespaces. All replicas write the same, but at
// different moments. The one that wrote makes the events.
type Board struct {
	API client.Client
	// Namespace of Argoseal.
	Namespace string
	Ledger    *Ledger
	Events    events.EventRecorder
	Clock     clock.PassiveClock
	Log       logr.Logger
}

// Start implements manager.Runnable.
func (b *Board) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := b.tell(ctx); err != nil && ctx.Err() == nil {
			b.Log.Error(err, "Namespaces without a budget not told of")
		}
	}, every)
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*Board) NeedLeaderElection() bool { return false }

// tell brings the ConfigMap up to date.
func (b *Board) tell(ctx context.Context) error {
	var c corev1.ConfigMap
	if err := b.API.Get(ctx, client.ObjectKey{Namespace: b.Namespace, Name: v1alpha1.ConfigMapBudget}, &c); err != nil {
		return fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapBudget, err)
	}
	wasFull, wasNear := strings.Fields(c.Data[v1alpha1.BudgetFullKey]), strings.Fields(c.Data[v1alpha1.BudgetNearKey])
	now, known := b.Ledger.standing(wasNear, wasFull)
	if !known {
		return nil
	}
	sent := readNotified(c.Data[v1alpha1.BudgetToldKey], b.Clock.Now())
	due := sent.due(now, b.Clock.Now())
	full, nearly, said := strings.Join(now.full, "\n"), strings.Join(now.near, "\n"), sent.String()
	if len(full) > maxText {
		return fmt.Errorf("%d namespaces have used up their budget, and there is no room to tell of them", len(now.full))
	}
	if len(full)+len(nearly)+len(said) > maxText { // who is full counts
		nearly, said, due = "", "", nil
	}
	if c.Data[v1alpha1.BudgetFullKey] == full && c.Data[v1alpha1.BudgetNearKey] == nearly && len(due) == 0 {
		return nil
	}
	if c.Data == nil {
		c.Data = map[string]string{}
	}
	c.Data[v1alpha1.BudgetFullKey], c.Data[v1alpha1.BudgetNearKey], c.Data[v1alpha1.BudgetToldKey] = full, nearly, said
	err := b.API.Update(ctx, &c)
	if apierrors.IsConflict(err) {
		return nil // another replica was faster: the next look says whether it knew the same
	}
	if err != nil {
		return fmt.Errorf("configmap %s: %w", v1alpha1.ConfigMapBudget, err)
	}
	for _, n := range due {
		b.event(n)
	}
	for _, namespace := range now.full {
		if !slices.Contains(wasFull, namespace) {
			b.Log.Info("Budget used up: no step begins there", "namespace", namespace)
		}
	}
	for _, namespace := range wasFull {
		if !slices.Contains(now.full, namespace) {
			b.Log.Info("Budget has room again", "namespace", namespace)
		}
	}
	return nil
}

var (
	objectsDesc = prometheus.NewDesc("argoseal_stored_objects", "Provenances, ArtifactSeals and WorkflowProvenances in the cluster, as this replica counts them.", nil, nil)
	bytesDesc   = prometheus.NewDesc("argoseal_stored_bytes", "What these take in etcd, about.", nil, nil)
	nearDesc    = prometheus.NewDesc("argoseal_budget_near_namespaces", "Namespaces that have used four fifths of their budget and more, and not all. The ConfigMap argoseal-budget names them.", nil, nil)
	shareDesc   = prometheus.NewDesc("argoseal_budget_used_ratio", "Share of its budget that the namespace has used which has used most of it; at 1 no step begins there.", nil, nil)
	fullDesc    = prometheus.NewDesc("argoseal_budget_full_namespaces", "Namespaces that have used up their budget. The ConfigMap argoseal-budget names them.", nil, nil)
)

// Describe implements prometheus.Collector.
func (l *Ledger) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{objectsDesc, bytesDesc, shareDesc, nearDesc, fullDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (l *Ledger) Collect(to chan<- prometheus.Metric) {
	now, _ := l.standing(nil, nil)
	share, total := l.fullest()
	for d, v := range map[*prometheus.Desc]float64{
		objectsDesc: float64(total.Objects), bytesDesc: float64(total.Bytes), shareDesc: share, nearDesc: float64(len(now.near)), fullDesc: float64(len(now.full)),
	} {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
}
