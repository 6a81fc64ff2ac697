package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// required is what is asked of seals; zero values ask nothing.
type required struct {
	level  provenance.Level
	maxAge time.Duration
	// logs are base URLs; nil asks nothing.
	logs       []string
	reproduced reproducedBy
	sbom       sbomBy
}

// Bounds of require.logs.
const (
	maxLogs   = 16
	maxLogURL = 2048
)

var logPattern = regexp.MustCompile(`^https?://[!-~]+$`)

var maxAgePattern = regexp.MustCompile(`^[1-9][0-9]{0,5}[hms]$`)

func readRequire(q *v1alpha1.Require) (required, error) {
	out := required{level: provenance.Level(q.Level), logs: q.Logs}
	if q.Level == "" && q.MaxAge == "" && q.Logs == nil && q.Reproduced == nil && q.SBOM == nil {
		return required{}, errors.New("level, maxAge, logs, reproduced, sbom: it asks for nothing")
	}
	var err error
	if out.reproduced, err = readReproduced(q.Reproduced); err != nil {
		return required{}, fmt.Errorf("reproduced.%w", err)
	}
	if out.sbom, err = readSBOM(q.SBOM); err != nil {
		return required{}, fmt.Errorf("sbom.%w", err)
	}
	if err := checkLogs(q.Logs); err != nil {
		return required{}, fmt.Errorf("logs: %w", err)
	}
	switch out.level {
	case "", provenance.LevelIsolated, provenance.LevelObserved:
	default:
		return required{}, fmt.Errorf("level: %.40q is none", q.Level)
	}
	if q.MaxAge != "" {
		age, err := time.ParseDuration(q.MaxAge)
		if err != nil || !maxAgePattern.MatchString(q.MaxAge) {
			return required{}, fmt.Errorf("maxAge: %.40q is not a whole number of hours, minutes or seconds", q.MaxAge)
		}
		out.maxAge = age
	}
	return out, nil
}

// checkLogs wants no list or one of different URLs.
func checkLogs(logs []string) error {
	switch {
	case logs == nil:
		return nil
	case len(logs) == 0 || len(logs) > maxLogs:
		return fmt.Errorf("%d logs, want 1 to %d", len(logs), maxLogs)
	}
	for i, url := range logs {
		switch {
		case len(url) > maxLogURL || !logPattern.MatchString(url):
			return fmt.Errorf("%.200q is no URL of a log", url)
		case slices.Contains(logs[:i], url):
			return fmt.Errorf("%.200q is given twice", url)
		}
	}
	return nil
}
