import { Empty } from '../parts/notes';

export function Changes() {
  return <Empty>Not built yet.</Empty>;
}
