package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	askers      = 16 // requests in flight while many things are made
	manyTimeout = 15 * time.Minute

	tries         = 10
	answerTimeout = 10 * time.Second
)

// many does something count times, askers at once, and returns how long all of it took.
func (l *Load) many(do func(ctx context.Context, js jetstream.JetStream, i int) error) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), manyTimeout)
	defer cancel()
	var group sync.WaitGroup
	failed := make(chan error, askers)
	start := time.Now()
	for asker := 0; asker < askers; asker++ {
		connection, err := l.connect()
		if err != nil {
			return Result{}, err
		}
		defer connection.Close()
		js, err := jetstream.New(connection, jetstream.WithDefaultTimeout(time.Minute))
		if err != nil {
			return Result{}, err
		}
		group.Add(1)
		go func(asker int) {
			defer group.Done()
			for i := asker; i < l.count; i += askers {
				if err := persist(ctx, func(attempt context.Context) error { return do(attempt, js, i) }); err != nil {
					failed <- fmt.Errorf("number %d: %w", i, err)
					return
				}
			}
		}(asker)
	}
	group.Wait()
	select {
	case err := <-failed:
		return Result{}, err
	default:
	}
	return rate(l.count, time.Since(start), 0), nil
}

// persist tries again what was not answered, or could not be done just then, as a client would.
func persist(ctx context.Context, do func(context.Context) error) error {
	var err error
	for try := 0; try < tries && ctx.Err() == nil; try++ {
		attempt, cancel := context.WithTimeout(ctx, answerTimeout)
		err = do(attempt)
		cancel()
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil // a deletion that was not answered was done
		}
		fmt.Fprintln(os.Stderr, "again:", err)
	}
	return err
}

func streamName(i int) string {
	return fmt.Sprintf("S%d", i)
}

// open connects for a row of many things; done ends the connection and the context.
func (l *Load) open() (ctx context.Context, js jetstream.JetStream, done func(), err error) {
	connection, err := l.connect()
	if err != nil {
		return nil, nil, nil, err
	}
	js, err = jetstream.New(connection, jetstream.WithDefaultTimeout(time.Minute), jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		connection.Close()
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), manyTimeout)
	return ctx, js, func() { cancel(); connection.Close() }, nil
}

// firstPublish publishes as soon as it can be: after a start leaders have to be found.
func firstPublish(ctx context.Context, js jetstream.JetStream, subject string, body []byte) error {
	var err error
	for attempt := 0; attempt < 100; attempt++ {
		if _, err = js.Publish(ctx, subject, body, jetstream.WithRetryAttempts(0)); err == nil {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return err
}

// manyStreams makes count streams.
func (l *Load) manyStreams() (Result, error) {
	return l.many(func(ctx context.Context, js jetstream.JetStream, i int) error {
		config := jetstream.StreamConfig{
			Name: streamName(i), Subjects: []string{fmt.Sprintf("scale.%d.>", i)}, Replicas: l.replicas, Storage: jetstream.FileStorage,
		}
		_, err := js.CreateStream(ctx, config)
		return err
	})
}

// deleteStreams deletes them.
func (l *Load) deleteStreams() (Result, error) {
	return l.many(func(ctx context.Context, js jetstream.JetStream, i int) error {
		return js.DeleteStream(ctx, streamName(i))
	})
}

// touchStreams publishes one message to each of many streams, one at a time.
func (l *Load) touchStreams() (Result, error) {
	ctx, js, done, err := l.open()
	if err != nil {
		return Result{}, err
	}
	defer done()
	body := l.payload()
	if err := firstPublish(ctx, js, "scale.0.x", body); err != nil {
		return Result{}, err
	}
	samples := make([]time.Duration, 0, 1000)
	for i := 0; i < cap(samples); i++ {
		start := time.Now()
		subject := fmt.Sprintf("scale.%d.x", i*7919%l.count)
		if _, err := js.Publish(ctx, subject, body, jetstream.WithRetryAttempts(0)); err != nil {
			return Result{}, fmt.Errorf("%s: %w", subject, err)
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}

// listStreams reads the whole list of streams, page by page; --count is how many there should be.
func (l *Load) listStreams() (Result, error) {
	ctx, js, done, err := l.open()
	if err != nil {
		return Result{}, err
	}
	defer done()
	start := time.Now()
	listed := 0
	lister := js.ListStreams(ctx)
	for range lister.Info() {
		listed++
	}
	if lister.Err() != nil {
		return Result{}, lister.Err()
	}
	return rate(listed, time.Since(start), l.count-listed), nil
}

// accountInfo asks what the account uses; the latency of one answer.
func (l *Load) accountInfo() (Result, error) {
	connection, err := l.connect()
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	samples := []time.Duration{}
	for i := 0; i < 5; i++ {
		start := time.Now()
		if _, err := connection.Request("$JS.API.INFO", nil, time.Minute); err != nil {
			return Result{}, err
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}

const consumerStreams = 10

// manyConsumers makes count durable pull consumers, spread over ten streams.
func (l *Load) manyConsumers() (Result, error) {
	config := *l
	config.count = consumerStreams
	if _, err := config.manyStreams(); err != nil {
		return Result{}, err
	}
	return l.many(func(ctx context.Context, js jetstream.JetStream, i int) error {
		consumer := jetstream.ConsumerConfig{Durable: fmt.Sprintf("c%d", i), AckPolicy: jetstream.AckExplicitPolicy}
		_, err := js.CreateConsumer(ctx, streamName(i%consumerStreams), consumer)
		return err
	})
}

// useConsumers publishes one message to each of the ten streams and has a thousand consumers fetch and ack it.
func (l *Load) useConsumers() (Result, error) {
	ctx, js, done, err := l.open()
	if err != nil {
		return Result{}, err
	}
	defer done()
	for i := 0; i < consumerStreams; i++ {
		if err := firstPublish(ctx, js, fmt.Sprintf("scale.%d.x", i), l.payload()); err != nil {
			return Result{}, err
		}
	}
	samples := make([]time.Duration, 0, 1000)
	for i := 0; i < min(1000, l.count); i++ {
		number := i * 7919 % l.count
		start := time.Now()
		if err := persist(ctx, func(context.Context) error { return fetchOne(js.Conn(), number) }); err != nil {
			return Result{}, fmt.Errorf("consumer c%d: %w", number, err)
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}

// fetchOne has one consumer fetch a message and ack it; without answer where its leader changes in between.
func fetchOne(connection *nats.Conn, number int) error {
	subject := fmt.Sprintf("$JS.API.CONSUMER.MSG.NEXT.%s.c%d", streamName(number%consumerStreams), number)
	message, err := connection.Request(subject, []byte(`{"batch":1,"expires":4000000000}`), 5*time.Second)
	if err != nil {
		return err
	}
	if message.Reply == "" {
		return fmt.Errorf("status %s", message.Header.Get("Status"))
	}
	_, err = connection.Request(message.Reply, []byte("+ACK"), 5*time.Second)
	return err
}

// listConsumers reads the names and then the infos of all consumers of the first stream.
func (l *Load) listConsumers() (Result, error) {
	ctx, js, done, err := l.open()
	if err != nil {
		return Result{}, err
	}
	defer done()
	stream, err := js.Stream(ctx, streamName(0))
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	listed := 0
	lister := stream.ListConsumers(ctx)
	for range lister.Info() {
		listed++
	}
	if lister.Err() != nil {
		return Result{}, lister.Err()
	}
	return rate(listed, time.Since(start), l.count/consumerStreams-listed), nil
}

// fillSubjects publishes one message to each of count subjects of one stream.
func (l *Load) fillSubjects() (Result, error) {
	ctx, js, done, err := l.open()
	if err != nil {
		return Result{}, err
	}
	defer done()
	start := time.Now()
	if _, err := l.wide(ctx, js, l.count); err != nil {
		return Result{}, err
	}
	return rate(l.count, time.Since(start), 0), nil
}

// pageSubjects reads all subjects with their counts through STREAM.INFO, page by page.
func (l *Load) pageSubjects() (Result, error) {
	connection, err := l.connect()
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	samples := []time.Duration{}
	offset := 0
	for offset < l.count {
		var page struct {
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		start := time.Now()
		body := []byte(fmt.Sprintf(`{"subjects_filter":">","offset":%d}`, offset))
		answer, err := connection.Request("$JS.API.STREAM.INFO.WIDE", body, time.Minute)
		if err != nil {
			return Result{}, err
		}
		samples = append(samples, time.Since(start))
		if err := json.Unmarshal(answer.Data, &page); err != nil {
			return Result{}, err
		}
		if len(page.State.Subjects) == 0 {
			return Result{}, fmt.Errorf("the page at %d is empty: %.200s", offset, answer.Data)
		}
		offset += len(page.State.Subjects)
	}
	return latencies(samples), nil
}

// filteredConsumers makes consumers with a wildcard filter on the stream of many subjects; the latency of one creation.
func (l *Load) filteredConsumers() (Result, error) {
	ctx, js, done, err := l.open()
	if err != nil {
		return Result{}, err
	}
	defer done()
	samples := []time.Duration{}
	for i := 0; i < 20; i++ {
		start := time.Now()
		config := jetstream.ConsumerConfig{
			Durable: fmt.Sprintf("f%d", i), FilterSubject: fmt.Sprintf("wide.%d.*", i), AckPolicy: jetstream.AckExplicitPolicy,
		}
		consumer, err := js.CreateOrUpdateConsumer(ctx, "WIDE", config)
		if err != nil {
			return Result{}, err
		}
		if got := consumer.CachedInfo().NumPending; got != uint64(l.count/1000) {
			return Result{}, fmt.Errorf("%d messages pending", got)
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}

// rewriteSubjects puts values to a bucket-like stream of many subjects while a watcher of all of them is there.
func (l *Load) rewriteSubjects() (Result, error) {
	ctx, js, done, err := l.open()
	if err != nil {
		return Result{}, err
	}
	defer done()
	stream, err := js.Stream(ctx, "WIDE")
	if err != nil {
		return Result{}, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return Result{}, err
	}
	config := info.Config
	config.MaxMsgsPerSubject = 1
	if _, err := js.UpdateStream(ctx, config); err != nil {
		return Result{}, err
	}
	old, err := js.Conn().JetStream(nats.MaxWait(time.Minute))
	if err != nil {
		return Result{}, err
	}
	subscription, err := old.SubscribeSync("wide.>", nats.OrderedConsumer(), nats.DeliverNew(), nats.BindStream("WIDE"))
	if err != nil {
		return Result{}, err
	}
	samples := make([]time.Duration, 0, 1000)
	for i := 0; i < cap(samples); i++ {
		start := time.Now()
		subject := wideSubject(i * 7919 % l.count)
		if _, err := js.Publish(ctx, subject, l.payload()); err != nil {
			return Result{}, err
		}
		message, err := subscription.NextMsg(10 * time.Second)
		if err != nil {
			return Result{}, err
		}
		if message.Subject != subject {
			return Result{}, errors.New("another message came")
		}
		samples = append(samples, time.Since(start))
	}
	_ = subscription.Unsubscribe()
	return latencies(samples), nil
}
