// Command signals prints the number of every signal that it gets, a line each.
// It says "ready" when it would not miss one, and ends of SIGKILL alone.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	c := make(chan os.Signal, 64)
	for n := syscall.Signal(1); n <= 64; n++ {
		if n != syscall.SIGURG { // the Go runtime sends that to itself
			signal.Notify(c, n)
		}
	}
	fmt.Println("ready")
	for s := range c {
		fmt.Println(int(s.(syscall.Signal)))
	}
}
