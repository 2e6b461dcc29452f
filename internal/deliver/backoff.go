package deliver

import "time"

// backoff is how long a delivery waits before its next attempt: the step of the schedule, the last one repeating, with
// jitter, so that deliveries which failed together do not come back together.
func backoff(schedule []time.Duration, step int, random float64) time.Duration {
	return jitter(schedule[min(max(step, 0), len(schedule)-1)], random)
}

// jitter changes a wait by up to ±20 %. random is in [0, 1).
func jitter(wait time.Duration, random float64) time.Duration {
	return time.Duration(float64(wait) * (0.8 + 0.4*random))
}
