// Command actor plays the programs of the end-to-end tests that sh cannot play:
// it forks as fast as it can, and talks to $NOTIFY_SOCKET.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() { act(os.Args[1], os.Args[2:]) }

// act plays a part: say WORD… | orphans N | burst N | crowd | show … |
// count LINES | exit N | fail.
func act(part string, args []string) {
	switch part {
	case "say":
		for _, word := range args {
			say(word)
		}
	case "orphans":
		orphans(number(args[0]))
		fmt.Println("forked", args[0])
		hang()
	case "burst":
		end := burst(number(args[0])) // all live until then
		end()
		fmt.Println("ended", args[0])
		hang()
	case "crowd":
		crowd()
	case "show":
		wait()
	case "count":
		for n := range number(args[0]) {
			fmt.Println(n, strings.Repeat("x", n%200))
		}
	case "exit":
		os.Exit(number(args[0]))
	case "fail":
		show()
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "unknown part", part)
		os.Exit(2)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return n
}

// say does one thing: wait:FILE until it is there, every:50ms:MESSAGE while
// FILE is, hang, print:TEXT; any other word is a message to $NOTIFY_SOCKET.
func say(word string) {
	verb, rest, _ := strings.Cut(word, ":")
	switch verb {
	case "wait":
		for !there(rest) {
			time.Sleep(2 * time.Millisecond)
		}
	case "every":
		period, message, _ := strings.Cut(rest, ":")
		message, file, _ := strings.Cut(message, ":")
		pace, _ := time.ParseDuration(period)
		for there(file) {
			notify(message)
			time.Sleep(pace)
		}
	case "hang":
		hang()
	case "print":
		fmt.Println(rest)
	default:
		notify(word)
	}
}

// hang does nothing for ever. The runtime ends a process in which nobody waits
// for a time.
func hang() {
	for {
		time.Sleep(time.Hour)
	}
}

func there(file string) bool { _, err := os.Stat(file); return err == nil }

// notify is sd_notify(3).
func notify(message string) {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err == nil {
		_, err = conn.Write([]byte(message))
		conn.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
