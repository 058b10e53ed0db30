/** The orders service: sees `/orders/…`. */
import { service } from './service.mjs'

const orders = [{ id: 1, user: 1, item: 'analytical engine' }]

export default service('orders', {
  'GET /orders': () => [200, { orders }],
  'POST /orders': (_id, body) => {
    const order = { id: orders.length + 1, ...parse(body) }
    orders.push(order)
    return [201, { order }]
  },
})

function parse(body) {
  try {
    return JSON.parse(body)
  } catch {
    return { item: body }
  }
}
