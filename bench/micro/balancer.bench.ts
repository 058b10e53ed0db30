import { Balancer } from '../../src/proxy/upstream/balancer.ts'

function picking(...weights: number[]): () => void {
  const balancer = new Balancer(weights.map((weight) => ({ weight })))
  return () => {
    if (balancer.pick() === null) throw new Error('nothing picked')
  }
}

/** A laid-out sequence costs one array read; without it a pick passes over all targets. */
export const suite = {
  name: 'balancer',
  cases: {
    'pick, 1 target': picking(1),
    'pick, 2 targets 95:5, laid out': picking(95, 5),
    'pick, 10 equal targets, laid out': picking(...Array.from({ length: 10 }, () => 1)),
    'pick, 10 targets, too long to lay out': picking(...Array.from({ length: 10 }, (_, i) => 1009 + i)),
  },
}
