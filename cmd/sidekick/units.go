package main

import (
	"fmt"
	"time"
)

// shortAge is a time in its two largest units: 42s, 3m12s, 5h3m, 12d4h.
func shortAge(d time.Duration) string {
	d = max(d, 0)
	days, hours := int(d.Hours())/24, int(d.Hours())%24
	minutes, seconds := int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}

func uptime(seconds float64) string { return shortAge(time.Duration(seconds * float64(time.Second))) }

// bytesText is a size in the largest unit that leaves a number above 1.
func bytesText(n uint64) string {
	switch f := float64(n); {
	case n >= 1<<30:
		return fmt.Sprintf("%.1fGiB", f/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1fMiB", f/(1<<20))
	case n < 1<<10:
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%.0fKiB", float64(n)/(1<<10))
}
