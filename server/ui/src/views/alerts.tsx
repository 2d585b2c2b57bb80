import { Empty } from '../parts/notes';

export function Alerts() {
  return <Empty>Not built yet.</Empty>;
}
