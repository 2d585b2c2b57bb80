import { Empty } from '../parts/notes';

export function Now() {
  return <Empty>Not built yet.</Empty>;
}
