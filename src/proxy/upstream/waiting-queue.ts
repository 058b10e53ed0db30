/** An item links itself into the one queue that it may stand in. */
export interface Linked<T> {
  previous: T | null
  next: T | null
}

/** First come, first served; anybody may leave at once. Links are in the items: nothing is allocated or searched. */
export class WaitingQueue<T extends Linked<T>> {
  length = 0
  first: T | null = null
  private last: T | null = null

  push(item: T): void {
    item.previous = this.last
    if (this.last === null) this.first = item
    else this.last.next = item
    this.last = item
    this.length++
  }

  shift(): T | null {
    const item = this.first
    if (item !== null) this.remove(item)
    return item
  }

  /** Takes out an item that is in the queue. */
  remove(item: T): void {
    if (item.previous === null) this.first = item.next
    else item.previous.next = item.next
    if (item.next === null) this.last = item.previous
    else item.next.previous = item.previous
    item.previous = null
    item.next = null
    this.length--
  }
}
