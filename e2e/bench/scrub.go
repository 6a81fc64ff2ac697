package main

import "context"

const (
	// aDay is how many artifacts are compared a day, and each has so many MiB.
	aDay, eachMiB = 100_000, 10
	// msOfDay is the CPU time that a core has a day.
	msOfDay = 24 * 3600 * 1000.0
	// share of a core that this may take, in percent.
	share = 5.0
	// callsOfScrub is how often the API server may be asked for each artifact.
	callsOfScrub = 0.01
	// getsOfScrub is how often the store may be asked.
	getsOfScrub = 1.01
	// scrubMiB is the memory that the chart gives the program.
	scrubMiB = 256
)

// scrubbing measures what it costs to compare artifacts, small and large, and works out
// what those of a day cost.
func scrubbing(ctx context.Context, b *bench) ([]result, error) {
	printed, err := goBench(ctx, b, "BenchmarkScrub", "./cmd/argoseal-scrubber", "versitygw")
	if err != nil {
		return nil, err
	}
	found := map[string]float64{}
	for _, unit := range []string{"cpu-ms/artifact", "bare-cpu-ms/artifact", "cpu-ms/MiB", "bare-cpu-ms/MiB", "api-calls/artifact", "store-calls/artifact", "read/sealed", "peak-MiB", "artifacts/s"} {
		if found[unit], err = metric(printed, unit); err != nil {
			return nil, err
		}
	}
	one := func(name, unit string, value float64, bare ...float64) result {
		return newResult(name, unit, []float64{value}, bare)
	}
	// What a day costs, in percent of a core.
	percent := func(artifact, mib float64) float64 { return aDay * (artifact + eachMiB*mib) / msOfDay * 100 }
	worked := one("100,000 artifacts of 10 MiB a day, worked out", "% of a core",
		percent(found["cpu-ms/artifact"], found["cpu-ms/MiB"]), percent(found["bare-cpu-ms/artifact"], found["bare-cpu-ms/MiB"]))
	calls := one("API calls for each artifact", "calls", found["api-calls/artifact"])
	gets := one("requests of the store for each artifact", "requests", found["store-calls/artifact"])
	peak := one("memory at its peak, with 2,032 seals", "MiB", found["peak-MiB"])
	return []result{
		one("comparing an artifact of 4 KiB", "ms CPU", found["cpu-ms/artifact"], found["bare-cpu-ms/artifact"]),
		one("comparing a MiB of large ones", "ms CPU", found["cpu-ms/MiB"], found["bare-cpu-ms/MiB"]),
		worked.hold(worked.Value <= share, "at most %.0f %%", share),
		calls.hold(calls.Value <= callsOfScrub, "at most %.2f", callsOfScrub),
		gets.hold(gets.Value <= getsOfScrub, "at most %.2f", getsOfScrub),
		one("bytes read of those that were sealed", "times", found["read/sealed"]),
		peak.hold(peak.Value <= scrubMiB, "at most %.0f", float64(scrubMiB)),
		one("small artifacts compared, one after the other", "a second", found["artifacts/s"]),
	}, nil
}
