"""Two producers and three consumers of uneven speed around a queue that holds three items."""

from greenswitch import joinall, killall, sleep, spawn
from greenswitch.queue import JoinableQueue

queue = JoinableQueue(maxsize=3)


def produce(name: str, seconds: float) -> None:
    for number in range(10):
        sleep(seconds)
        queue.put(f"{name}{number}")
        print(f"put {name}{number}, queue holds {queue.qsize()}")


def consume(name: str, seconds: float) -> None:
    while True:
        item = queue.get()
        print(f"{name} takes {item}")
        sleep(seconds)
        print(f"{name} is done with {item}")
        queue.task_done()


producers = [spawn(produce, "A", 0.001), spawn(produce, "B", 0.01)]
consumers = [spawn(consume, "Ann", 0.02), spawn(consume, "Bob", 0.05), spawn(consume, "Cid", 0.1)]
joinall(producers)
queue.join()
print("all done")
killall(consumers)
