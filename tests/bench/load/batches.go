package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	atomicSize = 100 // messages of an atomic batch
	directSize = 500 // messages of a batched direct get
	fastFlow   = 500 // messages between two acks of a fast batch, to begin with; the server changes it
)

// atomicBatches publishes in atomic batches, one after the other; only the commit of each is waited for.
func (l *Load) atomicBatches() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, _, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	body := l.payload()
	start := time.Now()
	for done := 0; done < l.count; done += atomicSize {
		id := "b" + strconv.Itoa(done)
		for i := 1; i <= atomicSize; i++ {
			message := nats.NewMsg("bench.js")
			message.Data = body
			message.Header.Set(jetstreamext.BatchIDHeader, id)
			message.Header.Set(jetstreamext.BatchSeqHeader, strconv.Itoa(i))
			if i < atomicSize {
				err = connection.PublishMsg(message)
			} else {
				message.Header.Set(jetstreamext.BatchCommitHeader, "1")
				_, err = js.PublishMsg(ctx, message)
			}
			if err != nil {
				return Result{}, err
			}
		}
	}
	return rate(l.count, time.Since(start), 0), nil
}

// fastBatch publishes everything as one fast batch, under the flow control that the server asks for.
func (l *Load) fastBatch() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, _, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	flow := jetstreamext.FastPublishFlowControl{Flow: fastFlow, MaxOutstandingAcks: 2}
	publisher, err := jetstreamext.NewFastPublisher(js, flow)
	if err != nil {
		return Result{}, err
	}
	body := l.payload()
	start := time.Now()
	for i := 0; i < l.count-1; i++ {
		if _, err := publisher.Add("bench.js", body); err != nil {
			return Result{}, err
		}
	}
	ack, err := publisher.Commit(ctx, "bench.js", body)
	if err != nil {
		return Result{}, err
	}
	return rate(l.count, time.Since(start), l.count-int(ack.BatchSize)), nil
}

// directGet reads single messages by sequence, one question at a time.
func (l *Load) directGet() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, stream, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	if err := l.filled(ctx, js); err != nil {
		return Result{}, err
	}
	samples := make([]time.Duration, 0, l.count)
	for i := 0; i < l.count; i++ {
		start := time.Now()
		if _, err := stream.GetMsg(ctx, uint64(i+1)); err != nil {
			return Result{}, err
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}

// directBatch reads everything by batched direct gets, one question at a time.
func (l *Load) directBatch() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, _, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	if err := l.filled(ctx, js); err != nil {
		return Result{}, err
	}
	start := time.Now()
	next := uint64(1)
	for next <= uint64(l.count) {
		before := next
		messages, err := jetstreamext.GetBatch(ctx, js, "BENCH", directSize, jetstreamext.GetBatchSeq(next))
		if err != nil {
			return Result{}, err
		}
		for message, err := range messages {
			if err != nil {
				return Result{}, err
			}
			next = message.Sequence + 1
		}
		if next == before {
			return Result{}, fmt.Errorf("a batch from %d on was empty", next)
		}
	}
	return rate(l.count, time.Since(start), 0), nil
}

// wide is a stream of that many subjects with one message each; it stays for the next run, as filling it takes long.
func (l *Load) wide(ctx context.Context, js jetstream.JetStream, subjects int) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, "WIDE")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: "WIDE", Subjects: []string{"wide.>"}, Replicas: l.replicas, Storage: jetstream.FileStorage, AllowDirect: true,
		})
	}
	if err != nil {
		return nil, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	body := l.payload()
	futures := make([]jetstream.PubAckFuture, 0, subjects)
	first := int(info.State.LastSeq)
	for i := first; i < subjects; i++ {
		future, err := js.PublishAsync(wideSubject(i), body, jetstream.WithStallWait(30*time.Second))
		if err != nil {
			return nil, err
		}
		futures = append(futures, future)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return nil, fmt.Errorf("filling did not complete")
	}
	for i, future := range futures {
		select {
		case <-future.Err(): // nobody led just then
			if _, err := js.Publish(ctx, wideSubject(first+i), body); err != nil {
				return nil, err
			}
		default:
		}
	}
	return stream, nil
}

func wideSubject(i int) string {
	return fmt.Sprintf("wide.%d.%d", i%1000, i)
}

// lookup asks for the last message of one of a million subjects, one question at a time; --count says how many subjects.
func (l *Load) lookup() (Result, error) {
	ctx, js, done, err := l.open()
	if err != nil {
		return Result{}, err
	}
	defer done()
	stream, err := l.wide(ctx, js, l.count)
	if err != nil {
		return Result{}, err
	}
	samples := make([]time.Duration, 0, 2000)
	for i := 0; i < cap(samples); i++ {
		subject := wideSubject(i * 7919 % l.count)
		start := time.Now()
		message, err := stream.GetLastMsgForSubject(ctx, subject)
		if err != nil {
			return Result{}, err
		}
		if message.Subject != subject {
			return Result{}, fmt.Errorf("asked for %s, got %s", subject, message.Subject)
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}
