import { budgetText, runBudget } from '../budget.ts'
import type { Workload } from './workload.ts'

export const budget: Workload = {
  name: 'budget',
  title: 'Where the time goes',
  about: 'The processor time of a request, taken apart by profile.',
  minutes: 5,
  extra: true,
  async run({ plan, step }) {
    const result = await runBudget(plan, (text) => step(0.5, text.trim()))
    return { groups: [], data: result, text: budgetText(result) }
  },
}
