package sentinel

import (
	"fmt"
	"testing"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// pair is a change of providers.
type pair struct{ from, to encryption.Provider }

// walk goes from every stop to every other once, in one go, and ends where it began. In
// a, b, a, c, b, c, which goes on with a, each two neighbours are another pair; so it is
// with more.
func walk(stops []encryption.Provider) []pair {
	var visits []encryption.Provider
	for i, one := range stops {
		for _, other := range stops[i+1:] {
			visits = append(visits, one, other)
		}
	}
	var pairs []pair
	for i, from := range visits {
		pairs = append(pairs, pair{from, visits[(i+1)%len(visits)]})
	}
	return pairs
}

// portion is what somebody asks for of a walk: all of it, the first 6, or 7-12.
func portion(of []pair, asked string) ([]pair, error) {
	first, last := 1, len(of)
	if asked != "" {
		if _, err := fmt.Sscanf(asked, "%d-%d", &first, &last); err != nil {
			first = 1
			if _, err := fmt.Sscanf(asked, "%d", &last); err != nil {
				return nil, fmt.Errorf("%q is neither a number nor two with a dash", asked)
			}
		}
	}
	if first < 1 || first > last || last > len(of) {
		return nil, fmt.Errorf("%q: there are pairs 1-%d", asked, len(of))
	}
	return of[first-1 : last], nil
}

func TestAWalkHasEveryPairOnce(t *testing.T) {
	for n := 2; n <= len(encryption.Providers); n++ {
		pairs := walk(encryption.Providers[:n])
		seen := map[pair]bool{}
		for i, p := range pairs {
			if p.from == p.to || seen[p] {
				t.Errorf("of %d: %v is no other pair", n, p)
			}
			if next := pairs[(i+1)%len(pairs)]; next.from != p.to {
				t.Errorf("of %d: %v follows %v", n, next, p)
			}
			seen[p] = true
		}
		if len(seen) != n*(n-1) {
			t.Errorf("of %d: there are %d pairs", n, len(seen))
		}
		if pairs[0].from != encryption.Providers[0] {
			t.Errorf("of %d: it begins at %s", n, pairs[0].from)
		}
	}
}

func TestAPortionOfAWalk(t *testing.T) {
	whole := walk(encryption.Providers)
	for asked, want := range map[string][2]int{"": {1, 20}, "6": {1, 6}, "7-12": {7, 12}, "20-20": {20, 20}} {
		got, err := portion(whole, asked)
		if err != nil || len(got) != want[1]-want[0]+1 || got[0] != whole[want[0]-1] {
			t.Errorf("%q: %v, %v", asked, got, err)
		}
	}
	for _, asked := range []string{"0", "21", "9-8", "0-3", "all", "3-21", "-3"} {
		if got, err := portion(whole, asked); err == nil {
			t.Errorf("%q: %v", asked, got)
		}
	}
}
