package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const keys = 1000 // of a key-value bucket that is written and read

// bucket makes a fresh key-value bucket.
func (l *Load) bucket(ctx context.Context) (*nats.Conn, jetstream.KeyValue, error) {
	connection, err := l.connect()
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(connection)
	if err != nil {
		return nil, nil, err
	}
	sweep(ctx, js)
	config := jetstream.KeyValueConfig{Bucket: "BENCH", Replicas: l.replicas, Storage: jetstream.FileStorage}
	bucket, err := js.CreateKeyValue(ctx, config)
	return connection, bucket, err
}

func key(i int) string {
	return fmt.Sprintf("key-%d", i%keys)
}

// kvPut writes one value at a time.
func (l *Load) kvPut() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, bucket, err := l.bucket(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	body := l.payload()
	samples := make([]time.Duration, 0, l.count)
	for i := 0; i < l.count; i++ {
		start := time.Now()
		if _, err := bucket.Put(ctx, key(i), body); err != nil {
			return Result{}, err
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}

// kvGet reads one value at a time.
func (l *Load) kvGet() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, bucket, err := l.bucket(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	body := l.payload()
	for i := 0; i < keys; i++ {
		if _, err := bucket.Put(ctx, key(i), body); err != nil {
			return Result{}, err
		}
	}
	samples := make([]time.Duration, 0, l.count)
	for i := 0; i < l.count; i++ {
		start := time.Now()
		if _, err := bucket.Get(ctx, key(i*7)); err != nil {
			return Result{}, err
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}

// kvWatch puts one value at a time and waits until a watcher of the whole bucket, on another connection, has it.
func (l *Load) kvWatch() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, bucket, err := l.bucket(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	other, err := l.connect()
	if err != nil {
		return Result{}, err
	}
	defer other.Close()
	js, err := jetstream.New(other)
	if err != nil {
		return Result{}, err
	}
	watched, err := js.KeyValue(ctx, "BENCH")
	if err != nil {
		return Result{}, err
	}
	watcher, err := watched.WatchAll(ctx, jetstream.UpdatesOnly())
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = watcher.Stop() }()
	body := l.payload()
	samples := make([]time.Duration, 0, l.count)
	for i := 0; i < l.count; i++ {
		start := time.Now()
		revision, err := bucket.Put(ctx, key(i), body)
		if err != nil {
			return Result{}, err
		}
		select {
		case entry := <-watcher.Updates():
			if entry == nil || entry.Revision() != revision {
				return Result{}, fmt.Errorf("revision %d was written, the watcher saw %v", revision, entry)
			}
		case <-time.After(5 * time.Second):
			return Result{}, fmt.Errorf("the watcher did not see revision %d", revision)
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}

// objects makes a fresh object store.
func (l *Load) objects(ctx context.Context) (*nats.Conn, jetstream.ObjectStore, error) {
	connection, err := l.connect()
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(connection)
	if err != nil {
		return nil, nil, err
	}
	sweep(ctx, js)
	config := jetstream.ObjectStoreConfig{Bucket: "BENCH", Replicas: l.replicas, Storage: jetstream.FileStorage}
	store, err := js.CreateObjectStore(ctx, config)
	return connection, store, err
}

// objectPut stores objects of --size bytes; the rate is megabytes a second.
func (l *Load) objectPut() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, store, err := l.objects(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	body := l.payload()
	start := time.Now()
	for i := 0; i < l.count; i++ {
		if _, err := store.PutBytes(ctx, fmt.Sprintf("object-%d", i), body); err != nil {
			return Result{}, err
		}
	}
	return l.megabytes(time.Since(start)), nil
}

// objectGet reads objects of --size bytes; the rate is megabytes a second.
func (l *Load) objectGet() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, store, err := l.objects(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	body := l.payload()
	if _, err := store.PutBytes(ctx, "object", body); err != nil {
		return Result{}, err
	}
	start := time.Now()
	for i := 0; i < l.count; i++ {
		got, err := store.GetBytes(ctx, "object")
		if err != nil {
			return Result{}, err
		}
		if !bytes.Equal(got, body) {
			return Result{}, fmt.Errorf("another object came back")
		}
	}
	return l.megabytes(time.Since(start)), nil
}

func (l *Load) megabytes(took time.Duration) Result {
	return Result{Count: l.count, Rate: float64(l.count) * float64(l.size) / 1e6 / took.Seconds()}
}
